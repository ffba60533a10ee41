"""Sessions that begin with what a guest of the lobby has said."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress

import pytest

from mailworker.errors import ConnectionLost, Party, PeerError
from mailworker.event.beginning import Beginning
from mailworker.event.connections import Connections
from mailworker.event.lobby import Guest, Lobby
from mailworker.event.plan import UNKNOWN, Link
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task
from mailworker.model import Address, InetAddress
from tests.event.bench import Bench
from tests.support.patience import PATIENCE

PEER = InetAddress("192.0.2.1", 4242)
STEP = b"* OK ready\r\n", UNKNOWN


class Session:
    """Notes what it is called with; `stage` has all sessions."""

    def __init__(self, stage: Stage, stream: SocketStream) -> None:
        self.stage = stage
        self.stream = stream
        self.told = list[object]()

    def begin_heard(self, words: bytes) -> Link:
        self.told.append(words)
        if self.stage.bug is not None:
            raise self.stage.bug
        return self._wait() if self.stage.waits else None

    async def _wait(self) -> Link:
        self.told.append(await self.stream.read(100))
        return None

    async def fail(self, error: Exception) -> None:
        self.told.append(error)

    def enlist(self, task: Task) -> None:
        if self.stage.lacks_memory:
            raise MemoryError
        self.told.append(task)

    def drop(self) -> None:
        self.told.append("dropped")


class Stage:
    """A lobby whose guests begin sessions. `wants` are the arguments of `of`, `lost` the guests without words."""

    waits = lacks_memory = False
    bug: Exception | None = None

    def __init__(self, bench: Bench, resources: ExitStack) -> None:
        self.bench = bench
        self.resources = resources
        self.connections: Connections = bench.implementation.connections.Connections(bench.loop, 10)
        self.sessions = list[Session]()
        self.wants = list[tuple[object, ...]]()
        self.lost = list[tuple[Guest, PeerError]]()

    def of(self, number: int, stream: SocketStream, peer: Address, accepted: float) -> Session:
        self.wants.append((number, peer, accepted))
        self.resources.callback(stream.close)
        self.sessions.append(Session(self, stream))
        return self.sessions[-1]

    def lose(self, guest: Guest, error: PeerError) -> None:
        self.lost.append((guest, error))

    def comes(self, *, listed: bool = False) -> socket.socket:
        it = self.bench.implementation
        beginning: Beginning = it.beginning.Beginning(self.bench.loop, self, self.lose, listed)
        self.lobby: Lobby = it.lobby.Lobby(
            self.connections, Party.CLIENT, STEP, 100, 60.0, beginning, None, lambda *_: pytest.fail("it is full")
        )
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(PATIENCE)
        self.resources.enter_context(theirs)
        self.lobby.accepted(ours.detach(), PEER)
        self.serve(wait=False)
        assert theirs.recv(100) == STEP[0]
        return theirs

    def serve(self, *, wait: bool = True) -> None:
        if wait:
            self.bench.loop.poller.dispatch(self.bench.loop, PATIENCE)
        self.bench.loop.serve_late()


@pytest.fixture
def stage(bench: Bench, resources: ExitStack) -> Stage:
    return Stage(bench, resources)


def test_a_session_begins_with_the_first_words_of_its_guest(stage: Stage) -> None:
    began = stage.bench.loop.now
    client = stage.comes()
    assert stage.wants == []
    client.send(b"a NOOP\r\n")
    stage.serve()
    (session,) = stage.sessions
    assert stage.wants == [(1, PEER, began)]
    assert session.told == [b"a NOOP\r\n"]
    assert not stage.lost


def test_the_end_of_input_is_no_word_and_no_loss(stage: Stage) -> None:
    client = stage.comes()
    client.close()
    stage.serve()
    (session,) = stage.sessions
    assert session.told == [b""]


def test_a_guest_whose_connection_fails_begins_nothing(stage: Stage) -> None:
    stage.comes()
    (guest,) = stage.lobby.guests
    guest.interrupt(ConnectionLost(Party.CLIENT, "recv()", 104))
    ((lost, error),) = stage.lost
    assert lost is guest
    assert isinstance(error, ConnectionLost)
    assert stage.wants == []
    lost.stream.close()


def test_a_task_goes_on_with_the_session(stage: Stage) -> None:
    stage.waits = True
    client = stage.comes()
    client.send(b"first")
    stage.serve()
    (session,) = stage.sessions
    assert session.told == [b"first"]
    client.send(b"second")
    stage.serve()
    assert session.told == [b"first", b"second"]


def test_a_session_is_listed_before_it_begins_where_there_is_a_table(stage: Stage) -> None:
    client = stage.comes(listed=True)
    client.send(b"words")
    stage.serve()
    task, words = stage.sessions[0].told
    assert isinstance(task, stage.bench.implementation.task.Task)
    assert words == b"words"


def test_a_session_that_cannot_be_listed_is_dropped(stage: Stage) -> None:
    stage.lacks_memory = True
    client = stage.comes(listed=True)
    client.send(b"words")
    with suppress(MemoryError):  # a guest in Python reports it to the loop
        stage.serve()
    assert [type(bug) for bug in stage.bench.take_bugs()] in ([], [MemoryError])
    assert stage.sessions[0].told == ["dropped"]


def test_a_session_that_cannot_begin_fails(stage: Stage) -> None:
    stage.bug = LookupError("a bug")
    client = stage.comes()
    client.send(b"words")
    stage.serve()
    assert stage.sessions[0].told == [b"words", stage.bug]


def test_what_no_guest_is_begins_nothing(stage: Stage) -> None:
    beginning = stage.bench.implementation.beginning.Beginning(stage.bench.loop, stage, stage.lose, False)
    with pytest.raises((AttributeError, TypeError)):
        beginning(object(), b"words")
    with pytest.raises(TypeError):
        beginning(object())
    assert stage.wants == []
