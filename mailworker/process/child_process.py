"""A process that the master forks for a task: from the fork to its exit code."""

from __future__ import annotations

import gc
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import ClassVar, NoReturn

from mailworker.errors import StartError
from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.log.log import Log
from mailworker.model import Level
from mailworker.process.bug import log_bug, log_unraisable
from mailworker.process.cycle import Cycle
from mailworker.process.link import Kick, Receiver, tell_service
from mailworker.process.system.callbacks import Alarm, Watch
from mailworker.process.system.reserve import Reserve
from mailworker.process.system.signals import PASSED_OVER, UNHEARD, Handler, SignalSocket
from mailworker.process.system.titles import title_child, title_leaving_child

# nginx's exit code of a worker that could not start and should not be started again.
FATAL = 2
_FAILED = 1

# Signals that only a master can obey.
_PASSED_OVER = (signal.SIGHUP, signal.SIGIO, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)

# Descriptors that are held in reserve, at most, for messages of the master: a message brings as many as there are logs.
_MOST_RESERVED = 16

# Seconds until a message of the master is taken again for which there was no memory.
_MEMORY_PAUSE = 1.0

# New objects after which the collector looks for reference cycles. Sessions leave none, so it should not look for every
# ten new clients or so, as it would by default (700).
_NEW_OBJECTS = 10_000


@dataclass(frozen=True, slots=True)
class FromMaster:
    """What a child gets from its master.

    `pipe` is the reading end of a pipe that only the master can write to: it ends when the master does. `link` brings
    log files that the master has opened, and the child tells by it that it serves. `row` is the one that it may write
    in each zone that has rows. Only a child that is `daemonised` obeys SIGWINCH, as a terminal sends that to all its
    processes. `channels` are a worker's, by the names of the helpers at their other ends. `workers` are a helper's, one
    for each worker that runs.
    """

    pipe: int
    link: socket.socket
    row: int
    daemonised: bool = False
    channels: Mapping[str, socket.socket] = field(default_factory=dict)
    workers: Sequence[socket.socket] = ()


class ChildProcess(ABC):
    """Does its task for one cycle until it is asked to exit; `number` counts the children of a kind from 0.

    `name` is what the log and `ps` call it.
    """

    __slots__ = (
        "_cycle", "_handlers", "_leaving", "_log", "_loop", "_master", "_number", "_receiver", "_reserve", "_signals",
    )  # fmt: skip

    name: ClassVar[str]

    asks: ClassVar[bool] = False
    """Whether the master takes questions from it."""

    uses: ClassVar[Collection[bytes]] = ()
    """The kinds of what is found in files that it is told of."""

    def __init__(self, cycle: Cycle, number: int, master: FromMaster) -> None:
        self._cycle = cycle
        self._leaving = False
        self._log = cycle.log
        self._receiver = Receiver(
            master.link, cycle.watched.adopt, self._take_channel, self._take_answer, self._limit_logs, self._kick
        )
        self._loop = Loop(on_bug=self._log_bug)
        self._master = master
        self._number = number
        self._reserve = Reserve(min(len(self.files(cycle)) + 1, _MOST_RESERVED))
        self._signals = SignalSocket()
        self._handlers: dict[Signals, Handler] = {
            signal.SIGTERM: (", exiting", self._loop.stop),
            signal.SIGINT: (", exiting", self._loop.stop),
            signal.SIGQUIT: (", shutting down", self._shut_down),
            signal.SIGUSR1: (", reopening logs", self._reopen_logs),
            signal.SIGWINCH: (", shutting down", self._shut_down) if master.daemonised else UNHEARD,
            signal.SIGALRM: UNHEARD,
            **dict.fromkeys(_PASSED_OVER, PASSED_OVER),
        }

    @classmethod
    def files(cls, cycle: Cycle) -> Mapping[Path, int]:
        """The log files that this kind of child writes, by their paths."""
        return cycle.logs.error_log_files

    @abstractmethod
    def _start(self) -> None:
        """Take on user and limits, and begin the task. Raises StartError where a successor would fail as well."""

    @abstractmethod
    def _finish(self, done: Callable[[], None]) -> None:
        """Accept no more work, and call `done` when all is finished, which may be at once."""

    def _take_channel(self, channel: socket.socket) -> None:
        """Take the channel of a worker that has started; only helpers get it."""
        channel.close()

    def _take_answer(self, number: int, words: bytes) -> None:  # noqa: B027 - most ask nothing
        """Take the master's answer to a question; only children that ask get one."""

    def _limit_logs(self, level: int) -> None:
        self._cycle.logs.limit(Level(level) if level else None)

    def _kick(self, kick: Kick) -> None:  # noqa: B027 - only workers have sessions
        """End sessions."""

    def _end(self) -> None:  # noqa: B027 - most have nothing to leave
        """End unfinished work in good order."""

    def open_signals(self) -> None:
        """Take signals as a child does, not as the master it was forked from."""
        self._signals.open(self._handlers)

    def run(self) -> int:
        """Do the task, and return the process's exit code."""
        gc.freeze()  # a collection would write to the objects shared with the master, and so copy them all
        gc.set_threshold(_NEW_OBJECTS)
        log_unraisable(self._log_bug)
        try:
            self._cycle.stop_publishing()
            self._cycle.claim(self._master.row)
            self._cycle.logs.close_all_but(self.files(self._cycle))
            self._start()
        except StartError as error:
            self._log.write(Level.EMERG, str(error))
            return FATAL
        self._reserve.fill()  # behind the limit that the configuration sets
        self._loop.watch(self._signals.fileno(), READ, Watch(self._take_signals))
        self._loop.watch(self._master.pipe, READ, Watch(self._miss_master))
        self._watch_link()
        tell_service(self._master.link)
        title_child(self.name)  # as in nginx when all is prepared: by the time the title is seen, everything is open
        self._loop.run()
        self._end()
        self._log.write(Level.NOTICE, "exiting")
        self._log.write(Level.NOTICE, "exit")
        return 0

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        """Arrange for a call later."""
        self._loop.set_deadline(Alarm(action), self._loop.now + seconds)

    def _log_bug(self, bug: BaseException) -> None:
        log_bug(self._log, bug)

    def _take_signals(self) -> None:
        for received in self._signals.read():
            action, handler = self._handlers[received.signal]
            self._log.write(Level.NOTICE, received.describe(action))
            handler()

    def _miss_master(self) -> None:
        """Finish our sessions and free the ports: without a master, nothing would stop or replace us."""
        self._loop.unwatch(self._master.pipe)
        self._log.write(Level.ALERT, "master process is gone, shutting down")
        self._shut_down()

    def _shut_down(self) -> None:
        if not self._leaving:
            self._leaving = True
            self._log.write(Level.NOTICE, "gracefully shutting down")
            title_leaving_child(self.name)
            self._finish(self._loop.stop)

    def _watch_link(self) -> None:
        self._loop.watch(self._master.link.fileno(), READ, Watch(self._hear_master))

    def _hear_master(self) -> None:
        """Take a message; without memory for it wait, as the loop would announce it again at once, and for ever."""
        try:
            self._take_message()
        except MemoryError:
            self._loop.unwatch(self._master.link.fileno())
            self._after(_MEMORY_PAUSE, self._watch_link)
            message = "recvmsg() failed (12: Cannot allocate memory) while taking a message of the master process"
            self._log.write(Level.ALERT, message)

    def _take_message(self) -> None:
        with self._reserve:
            files = self._receiver.take()
            if files is not None:
                self._log.write(Level.NOTICE, "reopening logs")
                self._cycle.logs.adopt(files)
                self._cycle.redirect_stderr()

    def _reopen_logs(self) -> None:
        """Reopen our own files: SIGUSR1 was sent to us alone, or the master could not hand us its files."""
        self._log.write(Level.NOTICE, "reopening logs")
        with self._reserve:
            self._cycle.logs.reopen()
        self._cycle.redirect_stderr()


def live(kind: type[ChildProcess], number: int, cycle: Cycle, master: FromMaster, unblock: Callable[[], None]) -> int:
    """The life of a fresh child, whose exit code it returns; `unblock` lets signals through that the master blocks."""
    child = kind(cycle, number, master)
    child.open_signals()
    unblock()
    return child.run()


def end_by(life: Callable[[], int], log: Log) -> NoReturn:
    """End this process, which was just forked, with the exit code of its `life`.

    Whatever is raised there ends it too: it must never run on into the frames of the master, and be another one.
    """
    code = _FAILED
    try:
        code = life()
    except BaseException as bug:
        log_bug(log, bug)
    finally:
        os._exit(code)
