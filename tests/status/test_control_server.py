from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mailworker import __version__
from mailworker.errors import Party, ProtocolError
from mailworker.event.task import sleep
from mailworker.process.system.callbacks import Alarm
from mailworker.status import control_server as module
from mailworker.status.control_server import MOST, Answers, Asker, ControlServer, Denied
from mailworker.wire.control_request import LIMIT
from tests.status.served import Served, rest
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.proxy import open_descriptors

MANY = 20_000


class ControlServed(Served):
    """A ControlServer."""

    def __init__(self, folder: Path, *, readonly: bool = False) -> None:
        self.askers: list[Asker] = []
        self.ended: list[str] = []
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(os.fspath(folder / "s"))
        listening.listen(2000)
        super().__init__(listening, lambda loop, on_bug: ControlServer(loop, self.obey, on_bug), readonly=readonly)

    def obey(self, command: str, request: Mapping[str, Any], asker: Asker) -> Answers:
        self.askers.append(asker)
        if command == "bug":
            raise ZeroDivisionError
        if command == "refused":
            raise Denied("no")
        return self.pages() if command == "pages" else self.answers(command, request)

    async def pages(self) -> Answers:
        """Pages that never have to wait for their reader, until another request has been answered."""
        latest = time.monotonic() + PATIENCE
        while not self.ended and time.monotonic() < latest:
            yield {}
        self.ended.append("pages")

    async def answers(self, command: str, request: Mapping[str, Any]) -> Answers:
        try:
            for number in range(MANY if command == "many" else 2):
                yield {"line": number, **request}
                if command == "slow":
                    yield {}
                    await sleep(0.2)
            if command == "late bug":
                raise ZeroDivisionError
            if command == "late refusal":
                raise Denied("no more")
            if command == "lost":
                raise ProtocolError(Party.BACKEND, "gone")
            yield {"ok": True}
        finally:
            self.ended.append(command)

    def ask(self, request: bytes) -> list[Any]:
        """The lines that come until the server ends the connection."""
        with self.connect() as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            return [json.loads(line) for line in rest(client).splitlines()]


def request(command: str, **keys: Any) -> bytes:
    return json.dumps({"cmd": command, **keys}).encode() + b"\n"


GREETING = {"mailworker": __version__, "control": 1}
LINES = [{"line": 0}, {"line": 1}, {"ok": True}]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ControlServed]:
    before = open_descriptors()
    served = ControlServed(tmp_path)
    yield served
    served.close()
    assert open_descriptors() == before


def test_each_request_of_a_connection_is_answered_in_its_turn(served: ControlServed) -> None:
    assert served.ask(request("a") + request("b", x=1)) == [
        GREETING, *LINES, {"line": 0, "x": 1}, {"line": 1, "x": 1}, {"ok": True},
    ]  # fmt: skip


def test_a_request_may_come_byte_by_byte_and_the_last_one_without_an_end(served: ControlServed) -> None:
    with served.connect() as client:
        for number in request("a")[:-1]:
            client.sendall(bytes([number]))
        client.shutdown(socket.SHUT_WR)
        assert [json.loads(line) for line in rest(client).splitlines()] == [GREETING, *LINES]


def test_empty_lines_are_no_requests(served: ControlServed) -> None:
    assert served.ask(b"\n\r\n  \n" + request("a")) == [GREETING, *LINES]


def test_the_server_is_told_who_asks(served: ControlServed) -> None:
    served.ask(request("a"))
    assert served.askers == [Asker(os.getuid(), False)]
    assert str(Asker(0, True)) == "uid 0"
    assert str(Asker(None, True)) == "uid unknown"


def test_whoever_comes_by_a_readonly_socket_is_known(tmp_path: Path) -> None:
    served = ControlServed(tmp_path, readonly=True)
    served.ask(request("a"))
    served.close()
    assert served.askers == [Asker(os.getuid(), True)]


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        (b"GET / HTTP/1.1\n", [{"error": "a request is not valid JSON: Expecting value: line 1 column 1 (char 0)"}]),
        (b"\x16\x03\x01\n", [{"error": "a request is not valid JSON: Expecting value: line 1 column 1 (char 0)"}]),
        (b"[]\n", [{"error": "a request is a JSON object"}]),
        (request("refused"), [{"error": "no"}]),
        (request("late refusal"), [*LINES[:2], {"error": "no more"}]),
    ],
)
def test_what_cannot_be_done_is_told_and_the_next_request_is_heard(
    served: ControlServed, sent: bytes, lines: list[Any]
) -> None:
    assert served.ask(sent + request("a")) == [GREETING, *lines, *LINES]
    assert served.bugs == []


@pytest.mark.parametrize(("command", "before"), [("bug", []), ("late bug", LINES[:2])])
def test_a_bug_ends_its_request_alone(served: ControlServed, command: str, before: list[Any]) -> None:
    lines = served.ask(request(command) + request("a"))
    assert lines == [GREETING, *before, {"error": "a bug, see the error log"}, *LINES]
    assert [type(bug) for bug in served.bugs] == [ZeroDivisionError]


@pytest.mark.parametrize("length", [LIMIT, LIMIT * 30])
def test_a_line_that_is_too_long_ends_the_connection(served: ControlServed, length: int) -> None:
    with served.connect() as client:
        try:
            client.sendall(b"x" * length)
            lines = [json.loads(line) for line in rest(client).splitlines()]
        except ConnectionError:
            lines = [GREETING, {"error": "a request has at most 4096 bytes"}]
    assert lines == [GREETING, {"error": "a request has at most 4096 bytes"}]
    assert served.ask(request("a")) == [GREETING, *LINES]


def test_a_long_answer_comes_whole(served: ControlServed) -> None:
    lines = served.ask(request("many"))
    assert lines[1:-1] == [{"line": number} for number in range(MANY)]


def test_others_have_their_turn_while_an_answer_is_long(served: ControlServed) -> None:
    """It is made as it is read."""
    with served.connect() as first:
        first.sendall(request("many"))
        wait_until(lambda: len(served.askers) == 1, "the request")
        assert served.ask(request("a")) == [GREETING, *LINES]
        assert "many" not in served.ended
        first.shutdown(socket.SHUT_WR)
        rest(first)


def test_others_have_their_turn_however_fast_a_peer_reads(served: ControlServed) -> None:
    with served.connect() as fast:
        fast.sendall(request("pages"))
        wait_until(lambda: len(served.askers) == 1, "the request")
        assert served.ask(request("a")) == [GREETING, *LINES]
        fast.shutdown(socket.SHUT_WR)
        rest(fast)
    assert served.ended == ["a", "pages"]


def test_whoever_says_nothing_or_reads_nothing_is_given_up(
    served: ControlServed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW", 0.1)
    with served.connect() as deaf:
        deaf.sendall(request("many"))
        wait_until(lambda: served.ended == ["many"], "the end of the answer")
    monkeypatch.setattr(module, "IDLE", 0.1)
    with served.connect() as silent:
        assert rest(silent).count(b"\n") == 1
    wait_until(lambda: not served.server._connections, "the end of all connections")


def test_whoever_goes_away_ends_what_was_done_for_him(served: ControlServed) -> None:
    with served.connect() as client:
        client.sendall(request("slow") + request("slow"))
        assert client.recv(10)
    wait_until(lambda: not served.server._connections, "its end")
    assert served.bugs == []


def test_a_thousand_connections_keep_nobody_from_an_answer(served: ControlServed) -> None:
    with ExitStack() as clients:
        crowd = [clients.enter_context(served.connect()) for _ in range(1000)]
        began = time.monotonic()
        assert served.ask(request("a")) == [GREETING, *LINES]
        assert time.monotonic() - began < PATIENCE
        assert len(served.server._connections) <= MOST
        assert rest(crowd[0]).count(b"\n") == 1  # the ones that were idle longest have been given up


def test_a_newcomer_takes_the_place_of_whoever_has_said_nothing_for_longest(served: ControlServed) -> None:
    with ExitStack() as clients:
        first, second, *others = [clients.enter_context(served.connect()) for _ in range(MOST)]
        for client in (first, second, *others):
            client.recv(1)  # it has been accepted
        first.sendall(request("a"))
        wait_until(lambda: served.ended == ["a"], "the answer")
        assert served.ask(request("a")) == [GREETING, *LINES]
        assert rest(second).count(b"\n") == 1
        first.shutdown(socket.SHUT_WR)
        assert rest(first).endswith(b'{"ok": true}\n')


def test_no_newcomer_takes_the_place_of_somebody_who_is_served(served: ControlServed) -> None:
    with ExitStack() as clients:
        crowd = [clients.enter_context(served.connect()) for _ in range(MOST)]
        for client in crowd:
            client.sendall(request("slow"))
        wait_until(lambda: len(served.askers) == MOST, "all requests")
        with served.connect() as late:
            assert json.loads(rest(late)) == {"error": "too many connections"}
        assert served.bugs == []
        for client in crowd:
            client.shutdown(socket.SHUT_WR)
            assert rest(client).endswith(b'{"ok": true}\n')


def test_the_end_waits_for_those_who_are_answered_and_for_no_others(tmp_path: Path) -> None:
    served = ControlServed(tmp_path)
    with served.connect() as idle, served.connect() as busy:
        busy.sendall(request("slow"))
        wait_until(lambda: len(served.askers) == 1, "the request")
        served.close()
        assert rest(idle).count(b"\n") == 1
        assert [json.loads(line) for line in rest(busy).splitlines()] == [GREETING, *LINES]


def test_whoever_has_been_answered_leaves_at_once_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 3600.0)
    served = ControlServed(tmp_path)
    with served.connect() as client:
        client.sendall(request("a"))
        wait_until(lambda: served.ended == ["a"], "the answer")
        served.close()
        assert rest(client).endswith(b'{"ok": true}\n')


def test_whoever_has_come_to_ask_something_is_answered_at_the_end_too(tmp_path: Path) -> None:
    served = ControlServed(tmp_path)
    with served.connect() as late:
        late.recv(1)
        served.loop.set_deadline(Alarm(lambda: served.server.close(served.finish)), served.loop.now)
        served.waker.send(b"x")
        wait_until(lambda: not served.server._listeners, "the end of listening")
        late.sendall(request("a"))
        assert rest(late).endswith(b'{"ok": true}\n')
    assert served.done.wait(PATIENCE)
    served.thread.join(PATIENCE)
    for each in (served.loop, served.waker, served.woken, served.listening):
        each.close()


def test_a_peer_error_of_an_answer_ends_the_connection(served: ControlServed) -> None:
    assert served.ask(request("lost") + request("a")) == [GREETING]
    assert served.bugs == []
