from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.model import Address
from mailworker.process.system.callbacks import Alarm, Watch
from mailworker.status import server as module
from mailworker.status.server import MOST, Response, StatusServer, plain
from mailworker.wire.http_request import LIMIT, HttpRequest
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.proxy import open_descriptors
from tests.support.settings import configuration

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"x" * (8 << 20)


class Served:
    """A server whose loop runs in a thread."""

    def __init__(self, listening: socket.socket | None = None) -> None:
        self.bugs: list[BaseException] = []
        self.listening = listening or socket.create_server(("127.0.0.1", 0), backlog=2000)
        self.listening.setblocking(False)
        self.displaced = threading.Event()
        self.loop = Loop(self.bugs.append)
        self.server = StatusServer(self.loop, self.respond, self.bugs.append)
        self.server.open([(self.listening, True)], configuration().events, lambda error: None, self.displaced.is_set)
        self.done = threading.Event()
        self.waker, self.woken = socket.socketpair()
        self.loop.watch(self.woken.fileno(), READ, Watch(lambda: self.loop.forget(self.woken.fileno())))
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    @staticmethod
    def respond(request: HttpRequest, peer: Address) -> Response:
        if request.path == "/bug":
            raise ZeroDivisionError
        return Response(200, LARGE if request.path == "/large" else f"{request.path} {peer}\n".encode())

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.listening.getsockname())
        client.settimeout(PATIENCE)
        return client

    def ask(self, request: bytes) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            return rest(client)

    def close(self) -> None:
        self.loop.set_deadline(Alarm(lambda: self.server.close(self.finish)), self.loop.now)
        self.waker.close()
        assert self.done.wait(PATIENCE + module.SECONDS)
        self.thread.join(PATIENCE)
        self.loop.close()
        self.woken.close()
        self.listening.close()

    def finish(self) -> None:
        self.done.set()
        self.loop.stop()


def rest(client: socket.socket) -> bytes:
    data = b""
    while chunk := client.recv(1 << 16):
        data += chunk
    return data


@pytest.fixture
def served() -> Iterator[Served]:
    before = open_descriptors()
    served = Served()
    yield served
    served.close()
    assert open_descriptors() == before


def test_a_request_gets_an_answer_and_the_connection_ends(served: Served) -> None:
    head, _, content = served.ask(GET.replace(b" / ", b" /a%20b ")).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "HTTP/1.1 200 OK"
    assert content.startswith(b"/a b 127.0.0.1:")
    assert {f"Content-Length: {len(content)}", "Cache-Control: no-store", "X-Content-Type-Options: nosniff"} < {*lines}
    assert "Connection: close" in lines


def test_a_request_may_come_byte_by_byte(served: Served) -> None:
    with served.connect() as client:
        for number in GET:
            client.sendall(bytes([number]))
        assert rest(client).startswith(b"HTTP/1.1 200 ")


def test_head_gets_no_content(served: Served) -> None:
    answer = served.ask(GET.replace(b"GET", b"HEAD"))
    assert answer.endswith(b"\r\n\r\n")
    assert b"\r\nContent-Length: " in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"EHLO me\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"405"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * LIMIT + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * (1 << 20), b"431"),
        (GET.replace(b" / ", b" /bug "), b"500"),
    ],
)
def test_whatever_is_no_good_request_is_told_so(served: Served, request_: bytes, status: bytes) -> None:
    assert served.ask(request_).startswith(b"HTTP/1.1 " + status + b" ")
    assert len(served.bugs) == (status == b"500")
    assert served.ask(GET).startswith(b"HTTP/1.1 200 ")


def test_whoever_says_nothing_or_reads_nothing_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.1)
    with served.connect() as silent, served.connect() as slow, served.connect() as deaf:
        slow.sendall(GET[:10])
        deaf.sendall(GET.replace(b" / ", b" /large "))
        assert silent.recv(1) == b""
        assert slow.recv(1) == b""
        wait_until(lambda: not served.server._visits, "the end of all connections")
        assert 0 < len(_all(deaf)) < len(LARGE)


def _all(client: socket.socket) -> bytes:
    try:
        return rest(client)
    except ConnectionResetError:
        return b"x"


def test_a_large_answer_comes_whole(served: Served) -> None:
    assert served.ask(GET.replace(b" / ", b" /large ")).endswith(b"\r\n\r\n" + LARGE)


def test_a_thousand_connections_keep_nobody_from_an_answer(served: Served) -> None:
    with ExitStack() as clients:
        crowd = [clients.enter_context(served.connect()) for _ in range(1000)]
        began = time.monotonic()
        assert served.ask(GET).startswith(b"HTTP/1.1 200 ")
        assert time.monotonic() - began < module.SECONDS
        assert len(served.server._visits) <= MOST
        assert crowd[0].recv(1) == b""  # the oldest ones have been given up


def test_whoever_comes_when_another_serves_is_left_to_it(served: Served) -> None:
    assert served.ask(GET).startswith(b"HTTP/1.1 200 ")
    served.displaced.set()
    with served.connect() as client:
        client.sendall(GET)
        wait_until(lambda: served.server._doors[0]._descriptor < 0, "the end of listening")
        assert not served.server._visits
        other = Served(served.listening.dup())
        assert rest(client).startswith(b"HTTP/1.1 200 ")
        other.close()


def test_a_line_of_text_says_what_a_status_means() -> None:
    assert plain(404) == Response(404, b"Not Found\n")
    assert plain(503, "draining").content == b"draining\n"
