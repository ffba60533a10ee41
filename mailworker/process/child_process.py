"""The processes that the master forks, from the fork to the exit code."""

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
from mailworker.log.line import describe_lack
from mailworker.log.log import Log
from mailworker.model import Level
from mailworker.process.bug import log_bug, log_unraisable
from mailworker.process.cycle import Cycle
from mailworker.process.link import Answer, FileUpdate, Kick, LogLevel, Receiver, report_serving
from mailworker.process.system.callbacks import Alarm, Watch
from mailworker.process.system.reserve import Reserve
from mailworker.process.system.signals import IGNORED, SILENT, Handler, SignalSocket
from mailworker.process.system.titles import title_child, title_leaving_child

# nginx's exit code of a worker that could not start and should not be started again.
FATAL = 2
_FAILED = 1

# Signals that have a meaning for the master alone.
_FOR_MASTER = (signal.SIGHUP, signal.SIGIO, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)

# The descriptors that are reserved for a message of the master: it brings one for each log file, or that of an update,
# which needs another one.
_LEAST_RESERVED = 2
_MOST_RESERVED = 16

# Seconds before a message of the master is read again, if there was not enough memory for it.
_MEMORY_PAUSE = 1.0

# New objects after which the garbage collector runs. Sessions leave no reference cycles, and with the default of 700 it
# would run for every ten new clients or so.
_NEW_OBJECTS = 10_000


@dataclass(frozen=True, slots=True)
class FromMaster:
    """What a child gets from its master.

    `pipe` is the reading end of a pipe that the master alone can write to, so its end of file means that the master is
    gone. `link` is for messages of both, see `mailworker.process.link`. `row` is the row that the child writes in each
    zone that has rows. A child obeys SIGWINCH only if it is `daemonised`, as a terminal sends that signal to all its
    processes. `channels` are those of a worker, by the names of the helpers. `workers` are the channels of a helper,
    one for each worker that runs.
    """

    pipe: int
    link: socket.socket
    row: int
    daemonised: bool = False
    channels: Mapping[str, socket.socket] = field(default_factory=dict)
    workers: Sequence[socket.socket] = ()


class ChildProcess(ABC):
    """A process that works for one cycle until it is asked to exit. `number` counts the children of a kind from 0.

    `name` is its name in the log and in `ps`.
    """

    __slots__ = (
        "_cycle", "_handlers", "_leaving", "_log", "_loop", "_master", "_number", "_postponed", "_receiver", "_reserve",
        "_signals",
    )  # fmt: skip

    name: ClassVar[str]

    asks: ClassVar[bool] = False
    """Whether it may send questions to the master."""

    uses: ClassVar[Collection[bytes]] = ()
    """The kinds of file updates that it gets, see `FileUpdate`."""

    def __init__(self, cycle: Cycle, number: int, master: FromMaster) -> None:
        self._cycle = cycle
        self._leaving = False
        self._log = cycle.log
        self._receiver = Receiver(master.link)
        self._postponed: FileUpdate | None = None  # there was not enough memory for it
        self._loop = Loop(on_bug=self._log_bug)
        self._master = master
        self._number = number
        self._reserve = Reserve(max(_LEAST_RESERVED, min(len(self.files(cycle)) + 1, _MOST_RESERVED)))
        self._signals = SignalSocket()
        self._handlers: dict[Signals, Handler] = {
            signal.SIGTERM: (", exiting", self._loop.stop),
            signal.SIGINT: (", exiting", self._loop.stop),
            signal.SIGQUIT: (", shutting down", self._shut_down),
            signal.SIGUSR1: (", reopening logs", self._reopen_logs),
            signal.SIGWINCH: (", shutting down", self._shut_down) if master.daemonised else SILENT,
            signal.SIGALRM: SILENT,
            **dict.fromkeys(_FOR_MASTER, IGNORED),
        }

    @classmethod
    def files(cls, cycle: Cycle) -> Mapping[Path, int]:
        """The log files that this kind of child writes, by their paths."""
        return cycle.logs.error_log_files

    @abstractmethod
    def _start(self) -> None:
        """Set user and limits, and begin the task. Raises StartError if a successor would fail as well."""

    @abstractmethod
    def _finish(self, done: Callable[[], None]) -> None:
        """Accept no more work, and call `done`, perhaps immediately, when the work is finished."""

    def _take_channel(self, channel: socket.socket) -> None:
        """Take the channel of a worker that has started; only helpers get one."""
        channel.close()

    def _take_answer(self, answer: Answer) -> None:  # noqa: B027 - most ask nothing
        """Take the master's answer to a question."""

    def _limit_logs(self, level: int) -> None:
        self._cycle.logs.limit(Level(level) if level else None)

    def _kick(self, kick: Kick) -> None:  # noqa: B027 - only workers have sessions
        """End sessions."""

    def _end(self) -> None:  # noqa: B027 - most have nothing to leave
        """Finish or abandon the rest of the work, before the process ends."""

    def open_signals(self) -> None:
        """Replace the signal handlers of the master, which the child has inherited."""
        self._signals.open(self._handlers)

    def run(self) -> int:
        """Do the task, and return the process's exit code."""
        gc.freeze()  # the collector writes to objects, which would copy the memory that is shared with the master
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
        self._reserve.fill()  # after the configured limit is set
        self._loop.watch(self._signals.fileno(), READ, Watch(self._take_signals))
        self._loop.watch(self._master.pipe, READ, Watch(self._master_gone))
        self._watch_link()
        report_serving(self._master.link)
        title_child(self.name)  # as in nginx, when everything is open
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

    def _master_gone(self) -> None:
        """Finish the sessions and free the ports, as without a master nothing would stop or replace this process."""
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
        self._loop.watch(self._master.link.fileno(), READ, Watch(self._receive_message))

    def _receive_message(self) -> None:
        """Receive a message. Without memory for it, pause, or the loop would call this again and again."""
        try:
            self._take_message()
        except (MemoryError, OSError) as error:
            self._loop.unwatch(self._master.link.fileno())
            self._after(_MEMORY_PAUSE, self._go_on_receiving)
            failure = f"recvmsg() failed {describe_lack(error)} while taking a message of the master process"
            self._log.write(Level.ALERT, failure)

    def _go_on_receiving(self) -> None:
        self._watch_link()
        if self._postponed is not None:
            self._receive_message()

    def _take_update(self, update: FileUpdate) -> None:
        """Apply an update, or keep it if that fails: nobody will send it again."""
        kept = os.dup(update.descriptor)
        try:
            self._cycle.watched.adopt(update)
        except BaseException:
            self._postponed = update._replace(descriptor=kept)
            raise
        os.close(kept)

    def _take_message(self) -> None:
        with self._reserve:
            postponed, self._postponed = self._postponed, None
            if postponed is not None:
                self._take_update(postponed)
            match self._receiver.take():
                case FileUpdate() as update:
                    self._take_update(update)
                case Kick() as kick:
                    self._kick(kick)
                case Answer() as answer:
                    self._take_answer(answer)
                case LogLevel(level):
                    self._limit_logs(level)
                case socket.socket() as channel:
                    self._take_channel(channel)
                case dict() as files:
                    self._log.write(Level.NOTICE, "reopening logs")
                    self._cycle.logs.adopt(files)
                    self._cycle.redirect_stderr()

    def _reopen_logs(self) -> None:
        """Open the files ourselves: SIGUSR1 was sent to this process, or the master could not send its files."""
        self._log.write(Level.NOTICE, "reopening logs")
        with self._reserve:
            self._cycle.logs.reopen()
        self._cycle.redirect_stderr()


def run_child(
    kind: type[ChildProcess], number: int, cycle: Cycle, master: FromMaster, unblock: Callable[[], None]
) -> int:
    """Run a child that was just forked; returns its exit code. `unblock` unblocks the master's signals."""
    child = kind(cycle, number, master)
    child.open_signals()
    unblock()
    return child.run()


def exit_with(run: Callable[[], int], log: Log) -> NoReturn:
    """End this process, which was just forked, with the exit code that `run` returns.

    An exception ends it, too: it must not propagate into the code of the master, or there would be a second master.
    """
    code = _FAILED
    try:
        code = run()
    except BaseException as bug:
        log_bug(log, bug)
    finally:
        os._exit(code)
