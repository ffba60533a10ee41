"""The objects of a session are freed by their reference counts alone: workers do not run the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from types import CoroutineType

from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import accepted, rejected
from tests.support.backend import hang_up
from tests.support.peer import Peer
from tests.support.settings import proxy_settings


@contextmanager
def no_circles() -> Iterator[None]:
    """Fails if an object that is dropped meanwhile can be freed by the garbage collector only."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        found = [thing for thing in gc.garbage if _is_a_sessions(thing)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not found


def _is_a_sessions(thing: object) -> bool:
    return isinstance(thing, CoroutineType) or type(thing).__module__.startswith("mailworker.")


def test_nothing_is_left_of_a_relay_that_keeps_a_rate(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    settings = proxy_settings(limit_rate=100, upload_rate=100)
    proxy = scene.proxy("imap", scene.auth(accepted(backend.address)), proxy=settings)
    with no_circles():
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, IMAP.answer))
        client.send(b"\r\n" * 500)
        client.skip(4)
        client.close()
        proxy.service_is_idle()


@all_protocols
def test_nothing_is_left_of_sessions_for_the_collector(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    auth = scene.auth(accepted(backend.address), rejected(b"no"), b"HTTP/1.0 500 broken\r\n\r\n", hang_up)
    proxy = scene.proxy(case.protocol, auth)
    with no_circles():
        for talk in ((case.login, case.answer), (case.login, b""), (case.login, case.error), (b"", b"")):
            client = scene.client(proxy)
            client.expect(case.greeting)
            client.talk(talk)
            client.end()
            client.rest()
        for sent in (b"x\r\n" * 100, b"x" * 100_000, case.login):
            client = scene.client(proxy)
            client.send(sent)
            client.close()
        proxy.service_is_idle()


@all_protocols
def test_nothing_is_left_of_logins_that_a_backend_breaks_off(scene: Scene, case: Case) -> None:
    def leave(peer: Peer) -> None:
        peer.send(case.backend[0])
        peer.line()

    def refuse(peer: Peer) -> None:
        leave(peer)
        peer.send(b"x\r\n")

    def reset(peer: Peer) -> None:
        leave(peer)
        peer.reset()

    scripts = iter((hang_up, leave, refuse, reset))

    def break_off(peer: Peer) -> None:
        next(scripts)(peer)

    backend = scene.backend(break_off)
    proxy = scene.proxy(case.protocol, scene.auth(*[accepted(backend.address)] * 4))
    with no_circles():
        for _ in range(4):
            client = scene.client(proxy)
            client.expect(case.greeting)
            client.send(case.login)
            client.expect(case.error)
            client.rest()
        proxy.service_is_idle()
