"""A process that the master forks: the order of its life, and what ends it. Its signals: test_signal_table.py."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest

from mailworker.errors import StartError
from mailworker.model import Level
from mailworker.process.child_process import FATAL, ChildProcess, FromMaster, exit_with, run_child
from mailworker.process.cycle import Cycle
from mailworker.process.link import (
    USERS,
    FileUpdate,
    Message,
    Receiver,
    open_link,
    receive_messages,
    send_level,
    send_update,
)
from mailworker.process.system.signals import SignalSocket
from mailworker.process.watched_files import WatchedFiles
from mailworker.process.worker import Worker
from mailworker.shm.sealed import read_sealed, seal
from mailworker.shm.sessions import SessionTable
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration

STEPS: list[str] = []
CHILDREN: list[ChildProcess] = []


class Child(ChildProcess):
    """Notes its steps, and is done with its task at once when it has to finish."""

    __slots__ = ()

    name = "test process"

    def __init__(self, cycle: Cycle, number: int, master: FromMaster) -> None:
        super().__init__(cycle, number, master)
        CHILDREN.append(self)

    def _start(self) -> None:
        STEPS.append("start")

    def _finish(self, done: Callable[[], None]) -> None:
        STEPS.append("finish")
        done()

    def _end(self) -> None:
        STEPS.append("end")


class Unable(Child):
    """Cannot start."""

    __slots__ = ()

    def _start(self) -> None:
        raise StartError("nothing works")


class Broken(Child):
    """Has a bug."""

    __slots__ = ()

    def _start(self) -> None:
        raise RuntimeError("never thought of")


class Master:
    """What a child has of its master, in one process with it."""

    def __init__(self) -> None:
        self.link, theirs = open_link()
        self._pipe, pipe = socket.socketpair()
        self._ends = theirs, pipe
        self.log = RecordedLog()
        self.cycle = Cycle(configuration(), (), self.log.log)
        self.ends = FromMaster(pipe.fileno(), theirs, row=1)

    def die(self) -> None:
        self._pipe.close()

    def close(self) -> None:
        for end in (self.link, self._pipe, *self._ends):
            end.close()


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Iterator[Master]:
    """Nothing that children do to their process outlasts the test."""
    STEPS.clear()
    for call in ("gc.freeze", "gc.set_threshold", "log_unraisable"):
        monkeypatch.setattr(f"mailworker.process.child_process.{call}", lambda *_: None)
    for call in ("title_child", "title_leaving_child"):
        monkeypatch.setattr(f"mailworker.process.child_process.{call}", lambda name, call=call: STEPS.append(call))
    master = Master()
    yield master
    master.close()
    while CHILDREN:
        child = CHILDREN.pop()
        child._reserve.close()
        child._loop.close()
        child._signals.close()


def test_a_child_without_a_master_finishes_and_ends_well(master: Master) -> None:
    child = Child(master.cycle, 0, master.ends)
    master.die()
    assert child.run() == 0
    assert STEPS == ["start", "title_child", "title_leaving_child", "finish", "end"]
    assert master.log.lines == [
        "[alert] master process is gone, shutting down",
        "[notice] gracefully shutting down",
        "[notice] exiting",
        "[notice] exit",
    ]


@pytest.mark.parametrize(("kind", "serves"), [(Child, True), (Unable, False)])
def test_the_master_hears_of_service_when_a_child_has_started(master: Master, kind: type[Child], serves: bool) -> None:
    child = kind(master.cycle, 0, master.ends)
    master.die()
    child.run()
    assert receive_messages(master.link) == ([], serves)


def test_a_child_that_cannot_start_says_why_and_is_not_started_again(master: Master) -> None:
    child = Unable(master.cycle, 0, master.ends)
    assert child.run() == FATAL
    assert master.log.lines == ["[emerg] nothing works"]


def test_a_message_that_there_is_no_memory_for_is_taken_later(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop announced it again at once: the process took all of a processor, and filled the log."""
    take, tries, pause = Receiver.take, list[float](), 0.01

    def lack(receiver: Receiver) -> Message | None:
        tries.append(child._loop.now)
        if len(tries) < 3:
            raise MemoryError
        master.die()
        return take(receiver)

    monkeypatch.setattr(Receiver, "take", lack)
    monkeypatch.setattr("mailworker.process.child_process._MEMORY_PAUSE", pause)
    send_level(master.link, Level.DEBUG)
    child = Child(master.cycle, 0, master.ends)
    assert child.run() == 0
    assert min(tries[1] - tries[0], tries[2] - tries[1]) >= pause / 2
    lines = ["recvmsg() failed (12: Cannot allocate memory) while taking a message of the master process"] * 2
    assert master.log.lines[:3] == [f"[alert] {line}" for line in (*lines, "master process is gone, shutting down")]
    assert master.cycle.logs.limited == Level.DEBUG


def test_an_update_of_a_file_that_there_is_no_memory_for_is_applied_later(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker kept the former users until the file changed again, as nobody sent the update twice."""
    adopted = list[bytes]()

    def lack(watched: WatchedFiles, update: FileUpdate) -> str:
        content = read_sealed(update.descriptor)
        adopted.append(bytes(content))
        if len(adopted) < 3:
            raise OSError(errno.ENOMEM, "")
        master.die()
        return ""

    monkeypatch.setattr(WatchedFiles, "adopt", lack)
    monkeypatch.setattr("mailworker.process.child_process._MEMORY_PAUSE", 0.01)
    descriptor = seal("users", b"new")
    send_update(master.link, FileUpdate(USERS, "/users", descriptor))
    os.close(descriptor)
    send_level(master.link, Level.DEBUG)
    child = Child(master.cycle, 0, master.ends)
    assert child.run() == 0
    assert adopted == [b"new"] * 3
    line = "[alert] recvmsg() failed (12: Cannot allocate memory) while taking a message of the master process"
    assert master.log.lines[:2] == [line, line]
    assert master.cycle.logs.limited == Level.DEBUG


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def exit_code(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The code that this process would have ended with."""
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise Ended

    monkeypatch.setattr("os._exit", end)
    return codes


def test_a_bug_never_goes_on_in_the_master_s_frames(
    master: Master, exit_code: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    unblocked: list[bool] = []
    monkeypatch.setattr(SignalSocket, "open", lambda *_: None)
    with pytest.raises(Ended):
        exit_with(
            lambda: run_child(Broken, 0, master.cycle, master.ends, lambda: unblocked.append(True)), master.log.log
        )
    assert unblocked == [True]
    assert exit_code == [1]
    (line,) = master.log.lines
    assert line.startswith("[alert] RuntimeError: never thought of in ")


@pytest.mark.parametrize("failure", [MemoryError, OSError, KeyboardInterrupt])
def test_a_child_ends_even_where_nothing_can_be_logged(exit_code: list[int], failure: type[BaseException]) -> None:
    log = Mock()
    log.write.side_effect = failure
    with pytest.raises(Ended):
        exit_with(Mock(side_effect=RuntimeError), log)
    assert exit_code == [1]


def test_a_worker_without_rows_says_that_its_sessions_are_not_listed(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = SessionTable("sessions", 4, 2, ())
    monkeypatch.setattr(Cycle, "session_table", table)
    master.cycle.service = Mock()
    worker = Worker(master.cycle, 0, master.ends)
    CHILDREN.append(worker)
    for row, lines in ((1, 0), (2, 1)):
        table._worker = None
        table.claim(row)
        worker._enlist()
        assert len(master.log.lines) == lines
    assert master.log.lines == [
        "[warn] the session table has no room, because of former workers: sessions of this worker are not listed"
    ]
