"""What happens between a client that is logged in and its backend."""

from __future__ import annotations

import ssl
import threading
import tracemalloc
from hashlib import sha256
from random import Random
from typing import Any

import pytest

from mailworker.mail.end import End
from tests.mail.cases import IMAP, Case, all_protocols
from tests.mail.conftest import Scene
from tests.support.auth import AuthService
from tests.support.backend import Script, ScriptedServer, hang
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import dialogue_settings, proxy_settings
from tests.tls.peers import client_context

MEGABYTE = 1 << 20
# Seconds that nobody waits for: most of the timeout is skipped, and then more than the rest of it.
TIMEOUT = 1000.0
MOST = 900.0
REST = 150.0
TIMED_OUT = "[info] *1 client timed out (110: Connection timed out) while proxying, client: "


def relayed(
    scene: Scene,
    case: Case,
    script: Script,
    tls: ssl.SSLContext | None = None,
    receive_buffer: int | None = None,
    **changes: Any,
) -> tuple[Peer, ScriptedServer, Proxy]:
    """A client that is logged in at a backend, which now follows `script`."""
    backend = scene.backend(case.script(script))
    auth: AuthService = scene.auth_for(backend)
    if tls is None:
        proxy = scene.proxy(case.protocol, auth, **changes)
    else:
        proxy = scene.tls_proxy(case.protocol, auth, implicit_tls=True, **changes)
    client = scene.client(proxy, receive_buffer)
    if tls is not None:
        client.start_tls(tls)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    return client, backend, proxy


def version(number: ssl.TLSVersion) -> ssl.SSLContext:
    context = client_context()
    context.minimum_version = context.maximum_version = number
    return context


@all_protocols
def test_a_client_that_has_ended_still_gets_its_replies(scene: Scene, case: Case) -> None:
    def reply_late(peer: Peer) -> None:
        asked = peer.rest()
        peer.send(b"late reply to " + asked)

    client, _, proxy = relayed(scene, case, reply_late)
    client.send(b"one\r\n")
    client.end()
    assert client.rest() == b"late reply to one\r\n"
    proxy.log.find("proxied session done")


@all_protocols
def test_a_backend_that_has_ended_still_hears_the_client(scene: Scene, case: Case) -> None:
    def say_goodbye(peer: Peer) -> None:
        peer.send(b"goodbye\r\n")
        peer.end()
        hang(peer)

    client, backend, proxy = relayed(scene, case, say_goodbye)
    assert client.rest() == b"goodbye\r\n"
    client.send(b"one more word\r\n")
    client.end()
    proxy.log.find("proxied session done")
    assert backend.heard() == case.commands + b"one more word\r\n"


@pytest.mark.parametrize("reason", [End.CLIENT_CLOSED, End.BACKEND_CLOSED])
def test_a_reset_by_one_side_after_the_end_of_the_other_is_a_usual_end(scene: Scene, reason: End) -> None:
    def follow(peer: Peer) -> None:
        if reason is End.BACKEND_CLOSED:
            peer.end()
        peer.rest()
        peer.reset()

    client, _, proxy = relayed(scene, IMAP, follow)
    if reason is End.CLIENT_CLOSED:
        client.end()
    client.rest()
    client.reset()
    proxy.service_is_idle()
    (line,) = proxy.log.lines[2:]
    assert line.startswith("[info] *1 proxied session done, client: 127.0.0.1, ")
    assert [record.reason for record in proxy.ended] == [reason]


@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_half_closes_over_tls(scene: Scene, tls: ssl.TLSVersion) -> None:
    def say_goodbye(peer: Peer) -> None:
        peer.send(b"goodbye\r\n")
        peer.end()
        hang(peer)

    client, backend, proxy = relayed(scene, IMAP, say_goodbye, version(tls))
    assert client.rest() == b"goodbye\r\n"
    client.send(b"one more word\r\n")
    client.end()
    proxy.log.find("proxied session done")
    assert backend.heard() == IMAP.commands + b"one more word\r\n"


def test_a_client_that_reads_late_finds_a_close_notify_at_the_end(scene: Scene) -> None:
    """Of these sizes a twelfth fills the socket so that a close_notify has no room at once."""
    ended = threading.Event()

    def push(peer: Peer) -> None:
        peer.send(bytes(int(peer.line())))
        peer.end()
        ended.set()
        hang(peer)

    backend = scene.backend(IMAP.script(push))
    proxy = scene.tls_proxy(IMAP.protocol, scene.auth_for(backend), implicit_tls=True, send_buffer=4608)
    for size in range(2000, 16000, 211):
        client = scene.client(proxy, 2304)
        client.start_tls(client_context())
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, IMAP.answer))
        ended.clear()
        client.send(b"%d\n" % size)
        assert ended.wait(PATIENCE)
        assert len(client.rest()) == size
        assert not client.cut
        client.end()


@pytest.mark.parametrize("slow", ["client", "backend"])
@pytest.mark.parametrize("tls", [None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_megabytes_both_ways_at_once(scene: Scene, tls: ssl.TLSVersion | None, slow: str) -> None:
    down, up = Random(1).randbytes(3 * MEGABYTE), Random(2).randbytes(2 * MEGABYTE)
    heard: list[bytes] = []

    def exchange(peer: Peer) -> None:
        heard.append(peer.exchange(down, len(up), 0.001 if slow == "backend" else 0.0))

    client, _, proxy = relayed(
        scene,
        IMAP,
        exchange,
        None if tls is None else version(tls),
        receive_buffer=8192,
        send_buffer=8192,
    )
    received = client.exchange(up, len(down), 0.0003 if slow == "client" else 0.0)
    client.end()
    proxy.log.find("proxied session done")
    assert sha256(received).digest() == sha256(down).digest()
    assert sha256(heard[0]).digest() == sha256(up).digest()


@pytest.mark.parametrize("tls", [None, ssl.TLSVersion.TLSv1_3])
def test_no_more_is_held_than_a_buffer_for_a_client_that_reads_nothing(
    scene: Scene, tls: ssl.TLSVersion | None
) -> None:
    piece = bytes(65536)
    sent: list[int] = []

    def push(peer: Peer) -> None:
        sent.append(peer.send_what_fits(piece, 0.3))

    tracemalloc.start()
    try:
        _, _, proxy = relayed(scene, IMAP, push, None if tls is None else version(tls))
        held_before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        wait_until(lambda: bool(sent), "the end of what fits")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent[0] > MEGABYTE // 4  # what the kernel holds
    assert peak - held_before < 131072
    assert "client logged in" in proxy.log.lines[-1]


def test_input_that_openssl_holds_back_at_the_login_is_not_forgotten(scene: Scene) -> None:
    """The last read before the relay takes the login and nothing more, so the rest of the record waits in OpenSSL."""
    backend = scene.backend(IMAP.script())
    tight = dialogue_settings("imap", client_buffer=len(IMAP.login))
    proxy = scene.tls_proxy("imap", scene.auth_for(backend), implicit_tls=True, dialogue=tight)
    client = scene.client(proxy)
    client.start_tls(client_context())
    client.expect(IMAP.greeting)
    client.send(IMAP.login + b"one\r\n")
    client.expect(IMAP.answer + b"one\r\n")


def test_a_tls_record_that_takes_more_than_one_round(scene: Scene) -> None:
    """No selector tells of what OpenSSL has decrypted already."""

    def thank(peer: Peer) -> None:
        peer.skip(16000)
        peer.send(b"thanks")

    tls = version(ssl.TLSVersion.TLSv1_3)
    client, _, _ = relayed(scene, IMAP, thank, tls, proxy=proxy_settings(buffer=512))
    client.talk((bytes(16000), b"thanks"))


def test_proxy_timeout_ends_an_idle_relay(scene: Scene) -> None:
    client, _, proxy = relayed(scene, IMAP, hang, proxy=proxy_settings(timeout=TIMEOUT))
    scene.skip(MOST)
    assert client.is_silent()
    scene.skip(REST)
    assert client.rest() == b""
    assert proxy.log.lines[-1].startswith(TIMED_OUT)


@pytest.mark.parametrize("who", ["client", "backend"])
def test_either_side_keeps_a_relay_alive(scene: Scene, who: str) -> None:
    client, backend, proxy = relayed(scene, IMAP, hang, proxy=proxy_settings(timeout=TIMEOUT))
    proxy.log.find("client logged in")
    for count in range(1, 4):
        scene.skip(MOST)
        if who == "backend":
            backend.peer().send(b".")
            client.expect(b".")
        else:
            client.send(b".")
            wait_until(lambda: backend.peer().received.endswith(b"." * count), "a byte's arrival")  # noqa: B023
    scene.skip(MOST)
    assert client.is_silent()


def test_a_half_closed_relay_ends_after_timeout(scene: Scene) -> None:
    over = threading.Event()

    def hang_on(peer: Peer) -> None:
        """Stay although the other side has ended."""
        peer.rest()
        ended.set()
        over.wait(PATIENCE)

    ended = threading.Event()
    client, _, proxy = relayed(scene, IMAP, hang_on, timeout=TIMEOUT)
    client.send(b"a IDLE\r\n")
    client.end()
    assert ended.wait(PATIENCE)
    scene.skip(MOST)
    assert client.is_silent()
    scene.skip(REST)
    assert client.rest() == b""
    over.set()
    assert proxy.log.lines[-1].startswith(TIMED_OUT)


def test_a_client_that_ends_without_a_command_ends_both(scene: Scene) -> None:
    left = threading.Event()

    def stay(peer: Peer) -> None:
        assert peer.rest() == b""
        assert left.wait(PATIENCE)

    client, _, proxy = relayed(scene, IMAP, stay)
    client.end()
    assert client.rest() == b""
    proxy.log.find("proxied session done")
    left.set()


@pytest.mark.parametrize(("tls", "call"), [(None, "recv()"), (ssl.TLSVersion.TLSv1_3, "SSL_read()")])
def test_a_client_that_resets(scene: Scene, tls: ssl.TLSVersion | None, call: str) -> None:
    client, _, proxy = relayed(scene, IMAP, hang, None if tls is None else version(tls))
    client.reset()
    assert proxy.log.find("proxied session done").startswith("[info] *1 proxied session done, client: ")
    (line,) = (line for line in proxy.log.lines if "104" in line)
    assert line.startswith(
        f"[info] *1 {call} failed (104: Connection reset by peer) while proxying and reading from client, client: "
    )


def test_a_backend_that_resets(scene: Scene) -> None:
    def reset_after_a_line(peer: Peer) -> None:
        peer.line()
        peer.reset()

    client, _, proxy = relayed(scene, IMAP, reset_after_a_line)
    client.send(b"one\r\n")
    assert client.rest() == b""
    proxy.log.find("proxied session done")
    message = (
        "[error] *1 recv() failed (104: Connection reset by peer) while proxying and reading from upstream, client: "
    )
    assert proxy.log.lines[2].startswith(message)


@all_protocols
def test_cut_ends_relays_and_leaves_logins_alone(scene: Scene, case: Case) -> None:
    client, _, proxy = relayed(scene, case, hang)
    other = scene.client(proxy)
    other.expect(case.greeting)
    proxy.call(proxy.service.cut)
    assert client.rest() == b""
    assert proxy.log.find("shutdown timeout").startswith("[info] *1 shutdown timeout while proxying, client: ")
    assert other.is_silent()


def test_many_relays_share_a_worker(scene: Scene) -> None:
    first, backend, proxy = relayed(scene, IMAP, lambda peer: peer.send(peer.line()))
    others = [scene.client(proxy) for _ in range(50)]
    for number, client in enumerate(others):
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, IMAP.answer))
        client.send(b"%d\r\n" % number)
    for number, client in enumerate(others):
        assert client.rest() == b"%d\r\n" % number
    first.talk((b"one\r\n", b"one\r\n"))
    assert backend.peer().received == IMAP.commands + b"one\r\n"
