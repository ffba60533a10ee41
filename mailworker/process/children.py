"""The master's children: they are started, signalled and reaped here."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from signal import Signals
from time import monotonic
from typing import NamedTuple

from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.model import After, Level
from mailworker.process.channels import Channels, Ends, close_ends, open_channels
from mailworker.process.child_process import FATAL, ChildProcess, FromMaster, exit_with, run_child
from mailworker.process.cycle import Cycle
from mailworker.process.file_updates import FileUpdates
from mailworker.process.helper import Helper
from mailworker.process.link import (
    FileUpdate,
    Question,
    notify_by_signal,
    open_link,
    receive_messages,
    send_channel,
    send_files,
    send_level,
    send_update,
)
from mailworker.process.retry import Retry
from mailworker.process.system.pipe import open_pipe

# A child that ran for fewer seconds has failed to start, whatever its exit code.
_YOUNG = 1.0
# Seconds before a child that failed to start is replaced: 0 at first, then these, doubling up to the last.
_FIRST_PAUSE = 0.25
_LAST_PAUSE = 30.0

_Action = Callable[[], None]
_Helpers = Collection[type[Helper]]


class Place(NamedTuple):
    """The kind of process to run, and its number among that kind, from 0."""

    kind: type[ChildProcess]
    number: int


@dataclass(slots=True, eq=False)
class Child:
    """A process that runs.

    `started` is in seconds of the monotonic clock. `link` is the master's end of the link; the child reports by it that
    it `serves`. `row` is the row of shared zones that it alone writes while it runs: workers of two cycles may have the
    same place, but never the same row. For `received` see Subscriber.
    """

    pid: int
    place: Place
    cycle: Cycle
    started: float
    link: socket.socket
    row: int
    received: int = 0
    leaving: bool = False
    serves: bool = False

    def stays_in(self, cycle: Cycle) -> bool:
        """Whether it works for that cycle, and has not been told to exit."""
        return self.cycle is cycle and not self.leaving

    def send(self, update: FileUpdate) -> bool:
        """See Subscriber. An update of a kind that the process does not use is skipped."""
        return update.kind not in self.place.kind.uses or send_update(self.link, update)


class Asked(NamedTuple):
    """A question, and the child that asked it."""

    child: Child
    question: Question


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a process; `child` is None if Children has not started it, `status` is that of waitpid(2)."""

    pid: int
    child: Child | None
    status: int

    @property
    def code(self) -> int:
        """The exit code, or minus the number of the signal that killed it."""
        return os.waitstatus_to_exitcode(self.status)

    @property
    def fatal(self) -> bool:
        """Whether a successor would fail in the same way."""
        return self.code == FATAL

    @property
    def from_outside(self) -> bool:
        """Whether it was ended from outside: by a request to exit, or by SIGKILL, as from the OOM killer."""
        return self.code in (0, -Signals.SIGKILL)

    def log(self, log: Log) -> None:
        """Write nginx's line."""
        name = f"{'new binary process' if self.child is None else self.child.place.kind.name} {self.pid}"
        if self.code < 0:
            dumped = " (core dumped)" if os.WCOREDUMP(self.status) else ""
            log.write(Level.ALERT, f"{name} exited on signal {-self.code}{dumped}")
        else:
            log.write(Level.NOTICE, f"{name} exited with code {self.code}")
        if self.fatal and self.child is not None and not self.child.leaving:
            log.write(Level.ALERT, f"{name} exited with fatal code {self.code} and cannot be respawned")


class Children:
    """All children that run, of the present cycle and of former ones.

    They share a pipe that is never written to; its end of file means that the master is gone. `leave` closes, in a
    child, what only the master needs. For `unblock` see `run_child`, for `daemonised` FromMaster. `channel_retry` sends
    helpers the channels to workers that start later. `after(seconds, action)` arranges for a call later. Raises
    StartError.
    """

    __slots__ = (
        "_asked", "_channels", "_children", "_daemonised", "_leave", "_pauses", "_pipe", "_unblock", "channel_retry",
        "file_updates",
    )  # fmt: skip

    def __init__(self, unblock: _Action, leave: _Action, after: After, *, daemonised: bool) -> None:
        self._asked: list[Asked] = []
        self._channels = Channels()
        self._children: dict[int, Child] = {}
        self._daemonised = daemonised
        self._leave = leave
        self._pauses: dict[Place, float] = {}
        self._pipe = open_pipe()
        self._unblock = unblock
        self.channel_retry = Retry(after, self._give_channels)
        self.file_updates = FileUpdates(self._children.values(), after)

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children.values())

    def __len__(self) -> int:
        return len(self._children)

    def are_in(self, place: Place, cycle: Cycle) -> bool:
        """Whether a child runs in that place, and has not been told to exit."""
        return any(child.place == place and child.stays_in(cycle) for child in self)

    def spawn(self, cycle: Cycle, place: Place, present: Cycle, helpers: _Helpers = ()) -> OSError | None:
        """Start a child of `cycle` in that place. Returns an error of the system, which is logged, else None.

        A worker gets a channel to each of `helpers`, a helper gets the channels of all workers of the cycle. `present`
        is the serving cycle, whose logs are used: `cycle` may be a former one, which has closed its logs.
        """
        name, log = place.kind.name, present.log
        try:
            link, their_link, theirs, own = _open_ends(helpers, asks=place.kind.asks)
        except OSError as error:
            log.write(Level.ALERT, f'socketpair() failed while spawning "{name}" {describe(error)}')
            return error
        taken = {child.row for child in self}
        row = next(row for row in count() if row not in taken)
        child = Child(0, place, cycle, monotonic(), link, row, self.file_updates.end)
        with their_link:
            try:
                pid = os.fork()
            except OSError as error:
                link.close()
                close_ends((*theirs.values(), *own.values()))
                log.write(Level.ALERT, f'fork() failed while spawning "{name}" {describe(error)}')
                return error
            if pid == 0:
                close_ends((link, *theirs.values()))
                exit_with(lambda: self._run(cycle, place, present, their_link, row, own), log)
        child.pid, self._children[pid] = pid, child  # before anything that may fail: nobody else knows the process
        close_ends(own.values())
        self._channels.keep(cycle, pid, theirs)
        self._channels.given(cycle, name)
        log.write(Level.NOTICE, f"start {name} {pid}")
        return None

    def _give_channels(self) -> bool:
        given = [
            self._channels.give(child.cycle, child.place.kind.name, partial(send_channel, child.link))
            for child in self
            if not child.leaving
        ]
        return all(given)

    def receive(self) -> None:
        """Receive the messages of all children: reports that they serve, and questions."""
        for child in self:
            self._receive(child)

    def take_questions(self) -> list[Asked]:
        """The questions received since the last call."""
        self.receive()
        asked, self._asked = self._asked, []
        return asked

    def _receive(self, child: Child) -> None:
        questions, serves = receive_messages(child.link)
        child.serves = child.serves or serves
        if child.place.kind.asks:
            self._asked += (Asked(child, question) for question in questions)

    def limit_logs(self, level: Level | None) -> bool:
        """Send all children the level of the error log; False if one had no room for it."""
        left = [child for child in self if not send_level(child.link, level or 0)]
        return not left

    def hand_out_logs(self, cycle: Cycle) -> None:
        """Send children the log files that `cycle` has reopened; a child without room opens them itself."""
        for child in self:
            if not send_files(child.link, child.place.kind.files(cycle)):
                _kill(child, Signals.SIGUSR1, cycle.log)

    def signal(self, number: Signals, only: Callable[[Child], bool], log: Log) -> list[Child]:
        """Send a signal to the children for which `only` returns true. Returns those that got it; errors are logged."""
        return [child for child in self if only(child) and _kill(child, number, log)]

    def shut_down(self, only: Callable[[Child], bool], log: Log) -> list[Child]:
        """Send SIGQUIT, once each, to the children for which `only` returns true. Returns those that got it now."""
        told = self.signal(Signals.SIGQUIT, lambda child: only(child) and not child.leaving, log)
        for child in told:
            child.leaving = True
        return told

    def forget(self, children: Iterable[Child], log: Log) -> None:
        """Stop waiting for those of `children` that SIGKILL did not end, as they wait for a dead disk."""
        for child in children:
            if self._children.get(child.pid) is child:
                log.write(Level.ALERT, f"{child.place.kind.name} {child.pid} could not be killed")
                del self._children[child.pid]
                self._release(child)

    def _release(self, child: Child) -> None:
        child.link.close()
        with suppress(MemoryError):  # what it has counted is lost, but it must be replaced
            child.cycle.free(child.row)
        self._channels.end(child.pid)
        if child.leaving:
            self._channels.drop(child.cycle, child.place.kind.name)

    def reap(self) -> Iterator[Exit]:
        """All children that have ended. For process 1, they include orphans of other processes."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                with suppress(MemoryError):
                    self._receive(child)  # it may have said that it serves before it ended
                self._release(child)
            yield Exit(pid, child, status)

    def _run(  # noqa: PLR0913, PLR0917 - all that a fork leaves
        self, cycle: Cycle, place: Place, present: Cycle, link: socket.socket, row: int, channels: Ends
    ) -> int:
        """Run a child, in its own process; returns the exit code."""
        if cycle is not present:
            cycle.logs.adopt({path: os.dup(number) for path, number in place.kind.files(present).items()})
            present.close(cycle, shared=True)
        read, write = self._pipe
        os.close(write)
        self._leave()
        self.file_updates.close()
        for other in self:
            other.link.close()  # these belong to the master alone
        workers = self._channels.of(cycle, place.kind.name)
        self._channels.close(but=workers)
        master = FromMaster(read, link, row, self._daemonised, channels, workers)
        return run_child(place.kind, place.number, cycle, master, self._unblock)

    def close(self) -> None:
        """Close the pipe, so children that still run notice that the master is gone."""
        self._channels.close()
        self.file_updates.close()
        for descriptor in self._pipe:
            os.close(descriptor)

    def pause(self, ended: Exit, now: float) -> float:
        """Seconds to wait before a child is replaced. They grow if its place fails again and again after the start.

        A child that was ended from outside did not fail, so it is replaced at once; but only if it had begun to serve,
        as something may prevent that, such as a control group without memory.
        """
        child = ended.child
        assert child is not None, "only those are replaced"
        if ended.from_outside:
            return 0.0 if child.serves else _FIRST_PAUSE
        if now - child.started >= _YOUNG:
            self._pauses.pop(child.place, None)
            return 0.0
        pause = self._pauses.get(child.place, 0.0)
        self._pauses[child.place] = min(max(pause * 2, _FIRST_PAUSE), _LAST_PAUSE)
        return pause


def _kill(child: Child, number: Signals, log: Log) -> bool:
    """Send a signal; False if the system refuses that, which is logged. A child that has ended will be reaped."""
    try:
        os.kill(child.pid, number)
    except ProcessLookupError:
        return True
    except OSError as error:
        log.write(Level.ALERT, f"kill({child.pid}, {number}) failed {describe(error)}")
        return False
    return True


def _open_ends(helpers: Iterable[type[Helper]], *, asks: bool) -> tuple[socket.socket, socket.socket, Ends, Ends]:
    """A link, the master's end first, and the channels to `helpers`, the helpers' ends first. Raises OSError.

    `asks`: the child sends questions.
    """
    theirs, own = open_channels(helper.name for helper in helpers)
    opened: tuple[socket.socket, ...] = ()
    try:
        opened = open_link()
        if asks:
            notify_by_signal(opened[0])
    except OSError:
        close_ends((*theirs.values(), *own.values(), *opened))
        raise
    return (*opened, theirs, own)
