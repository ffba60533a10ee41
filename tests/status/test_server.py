from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mailworker.model import Address
from mailworker.status import server as module
from mailworker.status.server import MOST, Response, ResponseSteps, StatusServer, plain
from mailworker.wire.http_request import LIMIT, HttpRequest
from tests.status.served import Served, rest
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.proxy import open_descriptors

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"x" * (8 << 20)


class HttpServed(Served):
    """A StatusServer."""

    def __init__(self, listening: socket.socket | None = None) -> None:
        listening = listening or socket.create_server(("127.0.0.1", 0), backlog=2000)
        super().__init__(listening, lambda loop, on_bug: StatusServer(loop, self.respond, on_bug))

        self.begun, self.probed = threading.Event(), threading.Event()
        self.steps = 0

    def respond(self, request: HttpRequest, peer: Address) -> Response | ResponseSteps:
        if request.path == "/bug":
            raise ZeroDivisionError
        if request.path == "/slow":
            return self._slow()
        if request.path == "/second":
            return self._second()
        return Response(200, LARGE if request.path == "/large" else f"{request.path} {peer}\n".encode())

    def _slow(self) -> ResponseSteps:
        latest = time.monotonic() + PATIENCE
        while not self.probed.is_set() and time.monotonic() < latest:
            self.steps += 1
            self.begun.set()
            yield
        return plain(200, "slow" if self.probed.is_set() else "late")

    def _second(self) -> ResponseSteps:
        before = self.steps
        yield
        yield
        return plain(200, f"{self.steps - before} steps")

    def ask(self, request: bytes) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            return rest(client)


@pytest.fixture
def served() -> Iterator[HttpServed]:
    before = open_descriptors()
    served = HttpServed()
    yield served
    served.close()
    assert open_descriptors() == before


def test_a_request_gets_an_answer_and_the_connection_ends(served: HttpServed) -> None:
    head, _, content = served.ask(GET.replace(b" / ", b" /a%20b ")).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "HTTP/1.1 200 OK"
    assert content.startswith(b"/a b 127.0.0.1:")
    assert lines == [
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
        "Referrer-Policy: no-referrer",
        "Cross-Origin-Resource-Policy: same-origin",
        "Connection: close",
    ]


def test_a_request_may_come_byte_by_byte(served: HttpServed) -> None:
    with served.connect() as client:
        for number in GET:
            client.sendall(bytes([number]))
        assert rest(client).startswith(b"HTTP/1.1 200 ")


def test_head_gets_no_content(served: HttpServed) -> None:
    answer = served.ask(GET.replace(b"GET", b"HEAD"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")
    assert b"\r\nContent-Length: " in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"EHLO me\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"405"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * LIMIT + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * (1 << 16), b"431"),
        (GET.replace(b" / ", b" /bug "), b"500"),
    ],
)
def test_whatever_is_no_good_request_is_told_so(served: HttpServed, request_: bytes, status: bytes) -> None:
    assert served.ask(request_).startswith(b"HTTP/1.1 " + status + b" ")
    assert len(served.bugs) == (status == b"500")
    assert served.ask(GET).startswith(b"HTTP/1.1 200 ")


def test_whoever_says_nothing_or_reads_nothing_is_given_up(served: HttpServed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.1)
    with served.connect() as silent, served.connect() as slow, served.connect() as deaf:
        slow.sendall(GET[:10])
        deaf.sendall(GET.replace(b" / ", b" /large "))
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""
        wait_until(lambda: not served.server._connections, "the end of all connections")
        assert 0 < len(_all(deaf)) < len(LARGE)


def test_whoever_leaves_without_a_request_is_left_at_once(served: HttpServed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 2 * PATIENCE)
    with served.connect() as client:
        client.sendall(GET[:10])
        client.shutdown(socket.SHUT_WR)
        assert rest(client) == b""


def test_other_methods_are_told_which_there_are(served: HttpServed) -> None:
    assert b"\r\nAllow: GET, HEAD\r\n" in served.ask(GET.replace(b"GET", b"PUT"))


def _all(client: socket.socket) -> bytes:
    try:
        return rest(client)
    except ConnectionResetError:
        return b"x"


def test_a_large_answer_comes_whole(served: HttpServed) -> None:
    assert served.ask(GET.replace(b" / ", b" /large ")).endswith(b"\r\n\r\n" + LARGE)


def test_an_answer_that_takes_long_to_make_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics of 4,000 servers were cut off where making them took longer than a client may take."""
    passed = [0.0]

    def respond(request: HttpRequest, peer: Address) -> Response:
        passed[0] += 2 * module.SECONDS
        return Response(200, LARGE)

    monkeypatch.setattr("mailworker.event.loop.monotonic", lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(HttpServed, "respond", staticmethod(respond))
    served = HttpServed()
    assert served.ask(GET).endswith(b"\r\n\r\n" + LARGE)
    served.close()


def test_others_are_answered_between_the_steps_of_an_answer(served: HttpServed) -> None:
    for _ in range(2):
        with served.connect() as slow:
            slow.sendall(GET.replace(b" / ", b" /slow "))
            assert served.begun.wait(PATIENCE)
            assert served.ask(GET).startswith(b"HTTP/1.1 200 ")
            assert served.ask(GET.replace(b" / ", b" /second ")).endswith(b"\r\n\r\n0 steps\n")
            assert served.ask(GET.replace(b" / ", b" /bug ")).startswith(b"HTTP/1.1 500 ")
            served.bugs.clear()
            served.probed.set()
            assert rest(slow).endswith(b"\r\n\r\nslow\n")
        served.begun.clear()
        served.probed.clear()


def test_a_thousand_connections_keep_nobody_from_an_answer(served: HttpServed) -> None:
    with ExitStack() as clients:
        crowd = [clients.enter_context(served.connect()) for _ in range(1000)]
        began = time.monotonic()
        assert served.ask(GET).startswith(b"HTTP/1.1 200 ")
        assert time.monotonic() - began < module.SECONDS
        assert len(served.server._connections) <= MOST
        assert crowd[0].recv(1) == b""  # the oldest ones have been given up


def test_whoever_comes_when_another_serves_is_left_to_it(served: HttpServed) -> None:
    assert served.ask(GET).startswith(b"HTTP/1.1 200 ")
    served.displaced.set()
    with served.connect() as client:
        client.sendall(GET)
        wait_until(lambda: served.server._listeners[0]._descriptor < 0, "the end of listening")
        assert not served.server._connections
        other = HttpServed(served.listening.dup())
        assert rest(client).startswith(b"HTTP/1.1 200 ")
        other.close()


def test_a_line_of_text_says_what_a_status_means() -> None:
    assert plain(404) == Response(404, b"Not Found\n")
    assert plain(503, "draining").content == b"draining\n"
