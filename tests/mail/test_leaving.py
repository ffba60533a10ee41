"""Clients that leave early, politely or not, and clients that send garbage: nothing is left of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailworker.model import Starttls
from tests.mail.cases import CASES, IMAP, SMTP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import accepted, rejected, wait
from tests.support.backend import hang
from tests.support.peer import Peer
from tests.support.settings import NOWHERE
from tests.tls.peers import client_context

Leave = Callable[[Peer], None]
leaving = pytest.mark.parametrize("leave", [Peer.close, Peer.reset], ids=["FIN", "RST"])


def faults(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("[info]")]


@leaving
@all_protocols
def test_leaving_at_any_byte_of_a_login(scene: Scene, case: Case, leave: Leave) -> None:
    auth = scene.auth(hang)
    proxy = scene.proxy(case.protocol, auth)
    for length in range(0, len(case.login), 3):
        client = proxy.connect()
        client.send(case.login[:length])
        if length % 2:
            client.expect(case.greeting)
        leave(client)
    proxy.service_is_idle()
    assert not faults(proxy.log.lines)
    assert not auth.requests


@leaving
@all_protocols
def test_leaving_while_the_auth_service_thinks(scene: Scene, case: Case, leave: Leave) -> None:
    proxy = scene.proxy(case.protocol, auth := scene.auth(hang), auth_timeout=1000.0)
    client = proxy.connect()
    client.expect(case.greeting)
    client.send(case.login)
    auth.peer()
    leave(client)
    scene.skip(1050.0)
    proxy.service_is_idle()
    assert [line.split(" while ")[0] for line in faults(proxy.log.lines)] == [
        f"[error] *1 auth http server {auth.address} timed out (110: Connection timed out)"
    ]


@pytest.mark.parametrize("implicit", [True, False], ids=["from the first byte", "STARTTLS"])
def test_a_client_that_awaits_a_handshake_gets_no_reply_in_clear(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, implicit: bool
) -> None:
    async def lack_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mailworker.mail.arriving.start_tls", lack_memory)
    changes: dict[str, object] = {"implicit_tls": True} if implicit else {"starttls": Starttls.ON}
    proxy = scene.tls_proxy("imap", NOWHERE, **changes)
    proxy.alerts_expected = True
    client = scene.client(proxy)
    if not implicit:
        client.talk((b"", IMAP.greeting), (b"a STARTTLS\r\n", b"a OK completed\r\n"))
    client.send(b"\x16\x03\x01")
    assert client.rest() == b""


REFUSED_FOR_LONG = rejected(b"no", (b"Auth-Wait", b"3600"))


@leaving
@pytest.mark.parametrize("verdict", [REFUSED_FOR_LONG, wait(b"3600")], ids=["refused", "WAIT"])
@pytest.mark.parametrize("pipelined", [b"", b"a NOOP\r\n" * 100], ids=["nothing", "commands"])
@pytest.mark.parametrize("tls", [False, True], ids=["in clear", "in TLS"])
def test_who_leaves_during_auth_wait_is_let_go_at_once(
    scene: Scene, leave: Leave, verdict: bytes, pipelined: bytes, tls: bool
) -> None:
    make = scene.tls_proxy if tls else scene.proxy
    proxy = make("imap", auth := scene.auth(verdict), **({"implicit_tls": True} if tls else {}))
    clients = [proxy.connect() for _ in range(5)]
    for client in clients:
        if tls:
            client.start_tls(client_context())
        client.expect(IMAP.greeting)
        client.send(IMAP.login + pipelined)
    for number in range(len(clients)):
        auth.peer(number)
    proxy.connections_in_use(1 + len(clients))
    for client in clients:
        leave(client)
    proxy.service_is_idle()
    assert not faults(proxy.log.lines)


@all_protocols
def test_what_a_client_says_during_auth_wait_is_answered_after_it(scene: Scene, case: Case) -> None:
    """More than is kept of it, too: the rest waits in the system's buffers."""
    proxy = scene.proxy(case.protocol, scene.auth(REFUSED_FOR_LONG))
    client = scene.client(proxy)
    client.expect(case.greeting)
    command, answer = case.noop
    client.send(case.login + command * 900)
    proxy.log.find("client login failed")
    scene.skip(3600.0)
    assert client.line().endswith(b"no\r\n")
    client.expect(answer * 900)


@leaving
@all_protocols
def test_leaving_while_the_backend_thinks(scene: Scene, case: Case, leave: Leave) -> None:
    backend = scene.backend(hang)
    proxy = scene.proxy(case.protocol, scene.auth_for(backend), timeout=1000.0)
    client = proxy.connect()
    client.expect(case.greeting)
    client.send(case.login)
    backend.peer()
    leave(client)
    scene.skip(1050.0)
    proxy.service_is_idle()
    assert not faults(proxy.log.lines)
    assert "upstream timed out" in proxy.log.lines[1]


@leaving
@pytest.mark.parametrize("starttls", [False, True])
def test_leaving_in_a_handshake(scene: Scene, leave: Leave, starttls: bool) -> None:
    mode = Starttls.ON if starttls else Starttls.OFF
    proxy = scene.tls_proxy("imap", scene.auth(hang), implicit_tls=not starttls, starttls=mode)
    for said in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"):
        client = proxy.connect()
        if starttls:
            client.expect(IMAP.greeting)
            client.talk((b"a STARTTLS\r\n", b"a OK completed\r\n"))
        client.send(said)
        leave(client)
    proxy.service_is_idle()
    assert not faults(proxy.log.lines)


@leaving
def test_leaving_inside_tls(scene: Scene, leave: Leave) -> None:
    proxy = scene.tls_proxy("imap", scene.auth(hang), implicit_tls=True)
    client = proxy.connect()
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.send(b"a LOGIN u")
    leave(client)
    proxy.service_is_idle()
    assert not faults(proxy.log.lines)


@leaving
@all_protocols
def test_leaving_a_relay(scene: Scene, case: Case, leave: Leave) -> None:
    backend = scene.backend(case.script(hang))
    proxy = scene.proxy(case.protocol, scene.auth_for(backend))
    client = proxy.connect()
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    leave(client)
    proxy.service_is_idle()
    assert not faults(proxy.log.lines)


@pytest.mark.parametrize(
    "garbage",
    [bytes(range(256)) * 64, b"\0" * 10000, b"\n" * 100, b"A" * 10000, b"\xff\xfe\r\n" * 20, b"\x1b]0;x\x07\r\n" * 20],
    ids=["all bytes", "NULs", "empty lines", "an endless line", "no ASCII", "a terminal"],
)
@all_protocols
def test_garbage_ends_in_the_protocols_own_words(scene: Scene, case: Case, garbage: bytes) -> None:
    proxy = scene.proxy(case.protocol, auth := scene.auth(hang))
    client = scene.client(proxy)
    client.send(garbage)
    heard = client.rest().removeprefix(case.greeting)
    invalid = {IMAP: b"* BAD invalid command\r\n", SMTP: b"500 5.5.1 Invalid command\r\n"}
    line = invalid.get(case, b"-ERR invalid command\r\n")
    assert heard in [line * count for count in range(1, 6)]
    proxy.service_is_idle()
    assert proxy.log.lines[-1].startswith("[info] *1 client sent too ")
    assert " while in auth state, client: 127.0.0.1, server: " in proxy.log.lines[-1]
    assert not auth.requests


def test_plaintext_for_a_tls_port_is_never_read_as_a_command(scene: Scene) -> None:
    proxy = scene.tls_proxy("imap", auth := scene.auth(hang), implicit_tls=True)
    for _ in range(20):
        client = proxy.connect()
        client.send(b"a LOGIN u p\r\n")
        client.close()
    client = scene.client(proxy)
    client.send(b"a LOGIN u p\r\n")
    assert client.rest() == b""
    proxy.service_is_idle()
    assert not faults(proxy.log.lines)
    assert not auth.requests


def test_plaintext_behind_starttls_is_dropped(scene: Scene) -> None:
    backend = scene.backend(IMAP.script())
    proxy = scene.tls_proxy("imap", auth := scene.auth(accepted(backend.address)), starttls=Starttls.ON)
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.send(b"a NOOP\r\nb STARTTLS\r\nevil LOGIN u p\r\n")
    client.expect(b"a OK completed\r\nb OK completed\r\n")
    client.start_tls(client_context())
    client.talk((b"c NOOP\r\n", b"c OK completed\r\n"), (IMAP.login, IMAP.answer))
    assert len(auth.requests) == 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.protocol)
def test_others_are_served_meanwhile(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    proxy = scene.proxy(case.protocol, scene.auth_for(backend))
    rude = [scene.client(proxy) for _ in range(20)]
    for client in rude:
        client.send(b"\xff" * 50)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer), (b"one\r\n", b"one\r\n"))
