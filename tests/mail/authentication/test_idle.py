"""auth_http_keepalive: connections to the auth service that serve more than one login."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mailworker.model import InetAddress
from tests.mail.cases import IMAP, all_protocols
from tests.mail.cases import Case as Login
from tests.mail.conftest import Scene
from tests.mail.failures import AGES
from tests.support.auth import END, rejected
from tests.support.backend import ScriptedServer
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.proxy import Proxy
from tests.support.settings import auth_http_settings


def persistent(backend: InetAddress, *headers: bytes, body: bytes = b"") -> bytes:
    """A response of HTTP/1.1 that leaves its connection open; `headers` are added."""
    lines = (
        b"HTTP/1.1 200 OK",
        b"Auth-Status: OK",
        b"Auth-Server: %b" % backend.host.encode(),
        b"Auth-Port: %d" % backend.port,
        b"Content-Length: %d" % len(body),
        *headers,
    )
    return b"\r\n".join(lines) + END + body


class Service(ScriptedServer):
    """Gives `answers` in turn, the last one for ever; `asked` has the number of the connection of each request.

    An answer of None closes the connection without a word. `together` holds answers back until so many have asked.
    """

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []
        self.requests: list[bytes] = []
        self.together: threading.Barrier | None = None
        super().__init__(self._serve)

    def is_left(self, number: int) -> bool:
        """Whether the connection of this number ends."""
        self._threads[number + 1].join(PATIENCE)
        return not self._threads[number + 1].is_alive()

    def _serve(self, peer: Peer) -> None:
        number = self.peers.index(self._known(peer))
        while request := peer.until(END):
            self.asked.append(number)
            self.requests.append(request)
            if self.together is not None:
                self.together.wait(PATIENCE)
            answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
            if answer is None:
                return
            peer.send(answer)

    def _known(self, peer: Peer) -> Peer:
        with self._arrived:
            assert self._arrived.wait_for(lambda: peer in self.peers, PATIENCE)
        return peer


@contextmanager
def serving(
    scene: Scene, service: Service, protocol: str = "imap", keepalive: int = 4, timeout: float = PATIENCE
) -> Iterator[Proxy]:
    settings = auth_http_settings(service.address, keepalive=keepalive, timeout=timeout)
    try:
        yield scene.proxy(protocol, service.address, source=settings)
    finally:
        service.stop()


def log_in(scene: Scene, proxy: Proxy, case: Login = IMAP) -> Peer:
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    return client


def _hold(barrier: threading.Barrier) -> None:
    """Wait until the test has passed the barrier twice."""
    barrier.wait(PATIENCE)
    barrier.wait(PATIENCE)


@all_protocols
def test_one_connection_serves_many_logins(scene: Scene, case: Login) -> None:
    service = Service(persistent(scene.backend(case.script()).address))
    with serving(scene, service, case.protocol) as proxy:
        for _ in range(3):
            log_in(scene, proxy, case)
    assert service.asked == [0, 0, 0]
    assert all(b" HTTP/1.1\r\nHost: " in request for request in service.requests)


def test_without_it_each_login_has_a_connection(scene: Scene) -> None:
    service = Service(persistent(scene.backend(IMAP.script()).address))
    with serving(scene, service, keepalive=0) as proxy:
        for _ in range(3):
            log_in(scene, proxy)
    assert service.asked == [0, 1, 2]
    assert all(b" HTTP/1.0\r\n" in request for request in service.requests)


@pytest.mark.parametrize(
    "headers",
    [
        (b"Connection: close",),
        (b"Connection: keep-alive, Close",),
        (b"Connection: x", b"Connection: close"),
        (b"Transfer-Encoding: chunked",),
        (b"Content-Length: 0",),
        (b"Content-Length: 5",),
    ],
    ids=lambda headers: b" ".join(headers).decode(),
)
def test_a_response_without_a_sure_end_is_the_last_of_its_connection(scene: Scene, headers: tuple[bytes, ...]) -> None:
    service = Service(persistent(scene.backend(IMAP.script()).address, *headers))
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        log_in(scene, proxy)
    assert service.asked == [0, 1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"Content-Length: 0\r\n", b""),
        (b"Content-Length: 0", b"Content-Length: -0"),
        (b"Content-Length: 0" + END, b"Transfer-Encoding: chunked" + END + b"2\r\nOK\r\n0" + END),
        (b"Content-Length: 0" + END, b"Transfer-Encoding: chunked" + END + b"0" + END + b"more"),
        (END, END + b"more"),
    ],
)
def test_a_connection_is_not_trusted_after(scene: Scene, old: bytes, new: bytes) -> None:
    service = Service(persistent(scene.backend(IMAP.script()).address).replace(old, new))
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        log_in(scene, proxy)
    assert service.asked == [0, 1]


def test_a_body_is_read_and_forgotten(scene: Scene) -> None:
    lie = b"HTTP/1.1 200 OK\r\nAuth-Status: No\r\nContent-Length: 0" + END
    service = Service(persistent(scene.backend(IMAP.script()).address, body=lie * 100))
    with serving(scene, service) as proxy:
        for _ in range(3):
            log_in(scene, proxy)
    assert service.asked == [0, 0, 0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"200 OK", b"204 No Content"),
        (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    ],
)
def test_a_response_of_headers_alone_keeps_its_connection(scene: Scene, old: bytes, new: bytes) -> None:
    answer = persistent(scene.backend(IMAP.script()).address).replace(old, new)
    chunks = b"0" + END if new.endswith(b"chunked") else b""
    service = Service(answer + chunks)
    with serving(scene, service) as proxy:
        for _ in range(3):
            log_in(scene, proxy)
    assert service.asked == [0, 0, 0]


def test_the_end_of_chunks_may_come_later(scene: Scene) -> None:
    answer = persistent(scene.backend(IMAP.script()).address)
    service = Service(b"")
    with serving(scene, service) as proxy:
        for count in (1, 2, 3):
            client = scene.client(proxy)
            client.expect(IMAP.greeting)
            client.send(IMAP.login)
            while len(service.asked) < count:
                assert client.is_silent()
            for piece in (answer.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"), b"0\r", b"\n\r\n"):
                assert client.is_silent()
                service.peer().send(piece)
            client.expect(IMAP.answer)
    assert service.asked == [0, 0, 0]


def test_a_connection_that_closes_at_the_second_request_costs_no_login(scene: Scene) -> None:
    answer = persistent(scene.backend(IMAP.script()).address)
    service = Service(answer, None, answer)
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        log_in(scene, proxy)
        assert proxy.log.lines[-1].startswith("[info] *4 client logged in, client: ")
        assert len(proxy.log.lines) == 4  # nothing but connections and logins
    assert service.asked == [0, 0, 1]


def test_a_request_is_repeated_only_once(scene: Scene) -> None:
    service = Service(persistent(scene.backend(IMAP.script()).address), None)
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, IMAP.error))
        proxy.log.find("prematurely closed connection")
    assert service.asked == [0, 0, 1]


def test_half_an_answer_is_no_reason_to_ask_again(scene: Scene) -> None:
    answer = persistent(scene.backend(IMAP.script()).address)
    service = Service(answer)
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        peer = service.peer()
        service.answers[:] = [answer[:20]]
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.send(IMAP.login)
        while len(service.asked) < 2:
            assert client.is_silent()
        peer.end()
        client.expect(IMAP.error)
    assert service.asked == [0, 0]


def test_a_body_that_ends_early_costs_a_connection_and_no_login(scene: Scene) -> None:
    answer = persistent(scene.backend(IMAP.script()).address)
    service = Service(answer.replace(b"Content-Length: 0", b"Content-Length: 5") + b"ab")
    with serving(scene, service, timeout=AGES) as proxy:
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.send(IMAP.login)
        assert client.is_silent()
        service.peer().end()
        client.expect(IMAP.answer)
        service.answers[:] = [answer]
        log_in(scene, proxy)
    assert service.asked == [0, 1]


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized", b"403 Forbidden"])
def test_a_refusal_leaves_the_connection_open(scene: Scene, status: bytes) -> None:
    refusal = rejected(b"no", (b"Content-Length", b"0")).replace(b"HTTP/1.0 200 OK", b"HTTP/1.1 " + status)
    service = Service(refusal, persistent(scene.backend(IMAP.script()).address))
    with serving(scene, service) as proxy:
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.talk((IMAP.login, b"a1 NO no\r\n"))
        log_in(scene, proxy)
    assert service.asked == [0, 0]


def test_no_more_are_kept_than_allowed(scene: Scene) -> None:
    service = Service(persistent(scene.backend(IMAP.script()).address))
    service.together = threading.Barrier(2)
    with serving(scene, service, keepalive=1) as proxy:
        clients = [scene.client(proxy) for _ in range(2)]
        for client in clients:
            client.expect(IMAP.greeting)
            client.send(IMAP.login)
        for client in clients:
            client.expect(IMAP.answer)
        service.together = None
        log_in(scene, proxy)
        assert sorted(service.asked[:2]) == [0, 1]
        assert service.asked[2] in {0, 1}
        assert service.is_left(1 - service.asked[2])


def test_a_word_that_nobody_asked_for_ends_an_idle_connection(scene: Scene) -> None:
    """Otherwise it could be taken for the answer to the next login."""
    answer = persistent(scene.backend(IMAP.script()).address)
    other = persistent(InetAddress("127.0.0.1", 1))
    service = Service(answer)
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        service.peer().send(other)
        log_in(scene, proxy)
    assert service.asked == [0, 1]


def test_an_idle_connection_ends_with_the_word_and_not_with_the_next_login(scene: Scene) -> None:
    service = Service(persistent(scene.backend(IMAP.script()).address))
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        service.peer().send(b"x")
        assert service.is_left(0)


def test_a_login_takes_no_connection_whose_word_has_just_come(scene: Scene) -> None:
    """Both are ready in one round of the loop, the login first."""
    answer = persistent(scene.backend(IMAP.script()).address)
    service = Service(answer)
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        together = threading.Barrier(2)
        proxy.call(lambda: _hold(together))
        together.wait(PATIENCE)
        client.send(IMAP.login)
        service.peer().send(persistent(InetAddress("127.0.0.1", 1)))
        together.wait(PATIENCE)
        client.expect(IMAP.answer)
    assert service.asked == [0, 1]


def test_silence_on_a_kept_connection_has_its_time(scene: Scene) -> None:
    service = Service(persistent(scene.backend(IMAP.script()).address))
    with serving(scene, service) as proxy:
        log_in(scene, proxy)
        service.answers[:] = [b""]
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.send(IMAP.login)
        while client.is_silent():
            scene.skip(AGES if len(service.asked) == 2 else 0)
        client.expect(IMAP.error)
        proxy.log.find(f"auth http server {service.address} timed out (110: Connection timed out)")
    assert service.asked == [0, 0]


def test_a_connection_is_idle_for_a_minute_at_most(scene: Scene) -> None:
    """A firewall that has forgotten it would say nothing of the next request."""
    service = Service(persistent(scene.backend(IMAP.script()).address))
    with serving(scene, service) as proxy:
        for _ in range(3):  # each login begins the minute anew
            log_in(scene, proxy).close()
            proxy.service_is_idle()
            scene.skip(40)
        scene.skip(21)
        assert service.is_left(0)
        log_in(scene, proxy)
    assert service.asked == [0, 0, 0, 1]


def test_idle_connections_take_no_place(scene: Scene) -> None:
    service = Service(persistent(scene.backend(IMAP.script()).address))
    with serving(scene, service) as proxy:
        log_in(scene, proxy).close()
        proxy.service_is_idle()
