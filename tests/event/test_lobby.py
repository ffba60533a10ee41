"""Clients that were accepted and hear a greeting, until they say something."""

from __future__ import annotations

import errno
import gc
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from mailworker.errors import ConnectionLost, Kicked, Party, PeerError, TimedOut
from mailworker.event.choice import NOTHING, Choice
from mailworker.event.connections import Connections
from mailworker.event.lobby import Guest, Lobby, QuickCheck
from mailworker.event.rows import NO_ROW, Rows
from mailworker.model import Address, InetAddress, UnixAddress
from mailworker.shm.attempts import NONE, Attempts, Rule
from mailworker.shm.conn_table import ConnTable
from mailworker.shm.gate import Gate, Holdings
from mailworker.shm.gate import Rule as GateRule
from mailworker.shm.keys import number_of
from mailworker.shm.limit_table import HEADER_SIZE, SET_SIZE, LimitTable
from mailworker.shm.session_row import ROW, State, parse
from mailworker.shm.sessions import HEAD, UNLISTED
from tests.event.bench import Bench
from tests.shm.limits import clock_at
from tests.support.patience import PATIENCE

GREETING = b"* OK ready\r\n"
STEP = GREETING, (b"\n", (Choice(b"HI", NOTHING, b"hi\r\n", ()),))
PEER = InetAddress("192.0.2.1", 4242)
TIMEOUT = 60.0
LIMIT = 16
SERVER = 1


class Stage:
    """A lobby; what it has handed on, turned away, and forgotten after a bug."""

    def __init__(
        self, bench: Bench, resources: ExitStack, most: int = 10, checks: tuple[QuickCheck, ...] = (), rows: int = 0
    ) -> None:
        it = bench.implementation
        self.loop = bench.loop
        self.resources = resources
        self.connections: Connections = it.connections.Connections(bench.loop, most)
        self.left: list[tuple[Guest, bytes | PeerError]] = []
        self.full: list[tuple[int, Address]] = []
        self.stopped: list[Guest] = []
        self.forgotten: list[int] = []
        self.noticed = 0
        self.action: Callable[[], None] = lambda: None
        self.head, self.memory = bytearray(HEAD), bytearray(rows * ROW)
        memories = memoryview(self.head), memoryview(self.memory)
        self.rows: Rows | None = it.rows.Rows(*memories, 0.0, 1) if rows else None
        self.lobby: Lobby = it.lobby.Lobby(
            self.connections, Party.CLIENT, STEP, LIMIT, TIMEOUT, self._leave, self._notice, self._turn_away,
            checks, self._stop, self.rows, SERVER, lambda guest: self.forgotten.append(guest.number),
        )  # fmt: skip
        resources.callback(self._close)

    def comes(self, peer: Address = PEER) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(PATIENCE)
        self.resources.enter_context(theirs)
        self.lobby.accepted(ours.detach(), peer)
        self.loop.serve_late()
        return theirs

    def serve(self) -> None:
        self.loop.poller.dispatch(self.loop, 1.0)
        self.loop.serve_late()

    def _stop(self, guest: Guest) -> None:
        self.stopped.append(guest)
        self.action()

    def _leave(self, guest: Guest, heard: bytes | PeerError) -> None:
        assert guest not in self.lobby.guests
        self.left.append((guest, heard))
        self.action()

    def _notice(self) -> None:
        self.noticed += 1
        assert self.connections.in_use

    def _turn_away(self, descriptor: int, peer: Address) -> None:
        self.full.append((descriptor, peer))
        socket.socket(fileno=descriptor).close()

    def _close(self) -> None:
        for guest in (*self.lobby.guests, *self.stopped, *(guest for guest, _ in self.left)):
            guest.stream.close()


@pytest.fixture
def stage(bench: Bench, resources: ExitStack) -> Stage:
    return Stage(bench, resources)


def test_who_comes_is_greeted_and_handed_on_with_its_first_words(stage: Stage) -> None:
    began = stage.loop.now
    client = stage.comes()
    assert client.recv(100) == GREETING
    assert [stage.lobby.guests, stage.left] != [set(), []]
    client.send(b"a NOOP\r\n")
    stage.serve()
    ((guest, heard),) = stage.left
    assert heard == b"a NOOP\r\n"
    assert (guest.number, guest.peer, guest.accepted) == (1, PEER, began)
    assert guest.stream.deadline == began + TIMEOUT
    assert (guest.stream.received, guest.stream.sent) == (8, len(GREETING))
    assert stage.lobby.guests == set()


def test_who_says_what_is_usual_is_answered_and_stays(stage: Stage) -> None:
    client = stage.comes()
    assert client.recv(100) == GREETING
    client.send(b"hi\r\n")
    stage.serve()
    assert client.recv(100) == b"hi\r\n"
    assert stage.left == []
    client.send(b"hi\r\n")
    stage.serve()
    ((guest, heard),) = stage.left
    assert (guest.stream.heard, heard) == (b"hi\r\n", b"hi\r\n")


def test_each_has_a_number_and_is_noticed(stage: Stage) -> None:
    clients = [stage.comes() for _ in range(3)]
    assert stage.noticed == len(stage.lobby.guests) == 3
    for client in clients:
        client.send(b"x")
    while len(stage.left) < 3:
        stage.serve()
    assert sorted(guest.number for guest, _ in stage.left) == [1, 2, 3]


def test_no_more_is_read_than_the_limit(stage: Stage) -> None:
    stage.comes().send(b"y" * 20)
    stage.serve()
    assert [heard for _, heard in stage.left] == [b"y" * LIMIT]


def test_who_leaves_has_said_nothing(stage: Stage) -> None:
    stage.comes().shutdown(socket.SHUT_WR)
    stage.serve()
    assert [heard for _, heard in stage.left] == [b""]


def test_who_is_silent_for_too_long_times_out(stage: Stage) -> None:
    stage.comes()
    stage.loop.timers.expire(stage.loop.now + TIMEOUT - 1.0)
    assert stage.left == []
    stage.loop.timers.expire(stage.loop.now + TIMEOUT + 1.0)
    ((guest, heard),) = stage.left
    assert isinstance(heard, TimedOut)
    assert heard.party is Party.CLIENT
    guest.stream.close()
    assert stage.connections.in_use == 0


def test_who_is_gone_at_once_is_lost(bench: Bench, stage: Stage, listening: socket.socket) -> None:
    client = socket.create_connection(listening.getsockname())
    listening.setblocking(True)
    ours = listening.accept()[0]
    ours.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    stage.lobby.accepted(ours.detach(), PEER)
    stage.loop.serve_late()
    ((_, heard),) = stage.left
    assert isinstance(heard, ConnectionLost)
    assert (heard.call, heard.errno) == ("send()", errno.ECONNRESET)


def test_beyond_the_limit_the_listener_s_gift_is_handed_back(bench: Bench, resources: ExitStack) -> None:
    stage = Stage(bench, resources, most=1)
    stage.comes()
    assert stage.comes().recv(10) == b""
    assert [peer for _, peer in stage.full] == [PEER]
    assert (stage.noticed, stage.connections.in_use) == (1, 1)


class Asked:
    """A check that lets in all but some, and remembers who was asked about."""

    def __init__(self, *refused: int) -> None:
        self.asked: list[tuple[str, int, float]] = []
        self._refused = refused

    def passes(self, client: str, number: int, now: float) -> bool:
        self.asked.append((client, number, now))
        return number not in self._refused


def test_who_passes_not_all_checks_is_handed_on_before_any_word(bench: Bench, resources: ExitStack) -> None:
    first, second = Asked(2), Asked(3)
    stage = Stage(bench, resources, checks=(first, second))
    clients = [stage.comes(peer) for peer in (PEER, UnixAddress(""), PEER)]
    assert clients[0].recv(100) == GREETING
    assert [(guest.number, guest.peer) for guest in stage.stopped] == [(2, UnixAddress("")), (3, PEER)]
    assert [(guest.stream.sent, guest.accepted) for guest in stage.stopped] == [(0, stage.loop.now)] * 2
    assert (len(stage.lobby.guests), stage.noticed, stage.connections.in_use) == (1, 3, 3)
    assert first.asked == [(PEER.host, 1, stage.loop.now), ("unix:", 2, stage.loop.now), (PEER.host, 3, stage.loop.now)]
    assert [number for _, number, _ in second.asked] == [1, 3]
    clients[0].send(b"x")
    stage.serve()
    assert len(stage.left) == 1


def test_limits_are_asked_without_a_session(bench: Bench, resources: ExitStack) -> None:
    """What C knows as well, it asks by itself."""
    address, held = number_of("remote_addr"), Holdings((ConnTable(bytearray(640), bytes(16), bytearray(80)),))
    table = LimitTable(bytearray(HEADER_SIZE + 2 * SET_SIZE), bytes(32), (100, 1000))
    bans = Attempts(
        (Rule(table, address, 0, NONE, True, False, False, 100, 1000),), (32, 64), (), NONE, None, clock_at(0.0)
    )
    stage = Stage(bench, resources, checks=(bans, Gate(held, (GateRule(0, address, 2),))))
    clients = [stage.comes() for _ in range(3)]
    table.ban(b"192.0.2.2", stage.loop.now, 60.0)
    clients += [stage.comes(InetAddress(f"192.0.2.{number}", 1)) for number in (2, 3)]
    assert [guest.number for guest in stage.stopped] == [3, 4]
    assert len(held) == len(stage.lobby.guests) == 3
    for number in (0, 1, 4):
        assert clients[number].recv(100) == GREETING


@pytest.mark.parametrize("answer", [LookupError("in a check"), 0])
def test_a_check_that_breaks_down_is_the_listener_s_bug(bench: Bench, resources: ExitStack, answer: object) -> None:
    class Broken:
        def passes(self, *_: object) -> bool:
            if isinstance(answer, Exception):
                raise answer
            return bool(answer)

    stage = Stage(bench, resources, checks=(Broken(),), rows=1)
    if isinstance(answer, Exception):
        with pytest.raises(LookupError, match="in a check"):
            stage.comes()
    else:
        stage.comes()
    assert (len(stage.stopped), stage.lobby.guests) == (not isinstance(answer, Exception), set())
    assert stage.connections.in_use == len(stage.stopped)
    assert stage.forgotten == ([] if stage.stopped else [1])
    assert memoryview(stage.head).cast("Q")[UNLISTED] == 0


def test_who_is_turned_away_by_a_bug_is_forgotten(bench: Bench, resources: ExitStack) -> None:
    def break_down() -> None:
        raise LookupError("behind the lobby")

    stage = Stage(bench, resources, checks=(Asked(1),), rows=1)
    stage.action = break_down
    with pytest.raises(LookupError, match="behind the lobby"):
        stage.comes()
    assert (stage.forgotten, stage.connections.in_use) == ([1], 0)
    assert memoryview(stage.head).cast("Q")[UNLISTED] == 0


def test_each_has_a_row_that_is_its_own_until_it_is_passed_on(bench: Bench, resources: ExitStack) -> None:
    stage = Stage(bench, resources, rows=1)
    assert stage.rows is not None
    client = stage.comes()
    (guest,) = stage.lobby.guests
    assert guest.stream.row == 0
    assert stage.rows.owner(0) is guest
    found = parse(bytes(stage.memory), (0, 0), [("", ""), ("here", "imap")], int(stage.loop.now), foreign=False)
    assert found is not None
    assert (found.client, found.client_port, found.server, found.state) == (*PEER, "here", State.LOGIN)
    client.send(b"x")
    stage.serve()
    session = object()
    stage.rows.pass_on(guest.stream.row, session)
    assert stage.rows.owner(0) is session


def test_who_finds_no_row_is_greeted_all_the_same(bench: Bench, resources: ExitStack) -> None:
    stage = Stage(bench, resources, rows=1)
    clients = [stage.comes() for _ in range(2)]
    assert [client.recv(100) for client in clients] == [GREETING] * 2
    assert sorted(guest.stream.row for guest in stage.lobby.guests) == [NO_ROW, 0]
    assert memoryview(stage.head).cast("Q")[UNLISTED] == 1


def test_without_rows_a_guest_has_none(stage: Stage) -> None:
    stage.comes()
    assert [guest.stream.row for guest in stage.lobby.guests] == [NO_ROW]


def test_who_is_interrupted_leaves_with_the_error_and_only_once(bench: Bench, stage: Stage) -> None:
    client = stage.comes()
    (guest,) = stage.lobby.guests
    error = Kicked("kicked")
    guest.interrupt(error)
    guest.interrupt(error)
    assert stage.left == [(guest, error)]
    client.send(b"x")
    guest.stream.close()


def test_a_greeting_that_finds_no_room_goes_on_later(bench: Bench, stage: Stage, resources: ExitStack) -> None:
    ours, theirs = socket.socketpair()
    resources.enter_context(theirs)
    ours.setblocking(False)
    filled = 0
    try:
        while True:
            filled += ours.send(b"z" * 4096)
    except BlockingIOError:
        pass
    stage.lobby.accepted(ours.detach(), PEER)
    stage.loop.serve_late()
    assert stage.left == []
    while filled:
        filled -= len(theirs.recv(min(filled, 65536)))
    stage.serve()
    theirs.settimeout(PATIENCE)
    assert theirs.recv(100) == GREETING
    theirs.send(b"hello")
    stage.serve()
    assert [heard for _, heard in stage.left] == [b"hello"]


def test_a_bug_behind_it_is_the_loop_s(bench: Bench, stage: Stage) -> None:
    def break_down() -> None:
        bench.loop.stop()
        raise LookupError("behind the lobby")

    stage.action = break_down
    client = stage.comes()
    client.send(b"x")
    bench.loop.run()
    assert [str(bug) for bug in bench.take_bugs()] == ["behind the lobby"]
    assert client.recv(100) + client.recv(100) == GREETING
    assert (stage.forgotten, stage.connections.in_use) == ([1], 0)


@pytest.mark.parametrize("passed_on", [False, True])
def test_after_a_bug_a_row_is_free_unless_it_was_passed_on(bench: Bench, resources: ExitStack, passed_on: bool) -> None:
    stage = Stage(bench, resources, rows=1)
    rows, session = stage.rows, object()
    assert rows is not None

    def break_down() -> None:
        if passed_on:
            rows.pass_on(0, session)
        bench.loop.stop()
        raise LookupError("behind the lobby")

    stage.action = break_down
    stage.comes().send(b"x")
    bench.loop.run()
    assert [str(bug) for bug in bench.take_bugs()] == ["behind the lobby"]
    assert rows.owner(0) is (session if passed_on else None)
    assert any(stage.memory[8:]) == passed_on


def test_after_a_bug_a_guest_without_a_row_is_not_counted_as_one(bench: Bench, resources: ExitStack) -> None:
    stage = Stage(bench, resources, rows=1)

    def break_down() -> None:
        bench.loop.stop()
        raise LookupError("behind the lobby")

    stage.action = break_down
    _, crowded = stage.comes(), stage.comes()
    unlisted = memoryview(stage.head).cast("Q")
    assert unlisted[UNLISTED] == 1
    crowded.send(b"x")
    bench.loop.run()
    assert [str(bug) for bug in bench.take_bugs()] == ["behind the lobby"]
    assert unlisted[UNLISTED] == 0


def test_nothing_is_left_of_a_lobby(bench: Bench, resources: ExitStack) -> None:
    stages: list[Any] = [Stage(bench, resources)]
    stages[0].comes().send(b"x")
    stages[0].serve()
    guest = stages[0].left[0][0]
    guest.stream.close()
    before = _streams(bench)
    for _ in range(10):
        stages[0].comes().send(b"x")
        stages[0].serve()
        stages[0].left.pop()[0].stream.close()
    assert _streams(bench) == before


def _streams(bench: Bench) -> int:
    gc.collect()
    return sum(isinstance(each, bench.implementation.stream.SocketStream) for each in gc.get_objects())
