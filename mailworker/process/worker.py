"""A worker: from the fork to its exit code."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from signal import Signals

from mailworker.errors import StartError
from mailworker.event.loop import Loop
from mailworker.event.selector import READ
from mailworker.model import Level
from mailworker.process.bug import describe_bug, log_unraisable
from mailworker.process.cycle import Cycle
from mailworker.process.handover.logs import receive_files
from mailworker.process.link import tell_service
from mailworker.process.system import identity, sandbox
from mailworker.process.system.alarm import Alarm
from mailworker.process.system.signals import SignalSocket
from mailworker.process.system.titles import title_leaving_worker, title_worker

# nginx's exit code of a worker that could not start and should not be started again.
FATAL = 2
_FAILED = 1

# How many objects may come to be before the collector looks for circles. Sessions leave none, so it should not look
# whenever some ten clients more are there, as is its default (700).
_NEW_OBJECTS = 10_000


class Watch:
    """Calls `action` whenever a descriptor can be read."""

    __slots__ = ("_action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def ready(self, mask: int) -> None:
        """The selector's call."""
        self._action()


@dataclass(frozen=True, slots=True)
class FromMaster:
    """What a worker hears of its master by.

    `pipe` is the reading end of one that only the master could write to: it ends when the master does. `link` brings
    log files that the master has opened, and is where the worker says that it serves.
    """

    pipe: int
    link: socket.socket


class Worker:
    """Serves one cycle until it is told to leave; `number` counts from 0."""

    __slots__ = ("_cycle", "_leaving", "_log", "_loop", "_master", "_number", "_obey", "_signals")

    def __init__(self, cycle: Cycle, number: int, master: FromMaster, *, daemonised: bool) -> None:
        self._cycle = cycle
        self._leaving = False
        self._log = cycle.log
        self._loop = Loop(on_bug=self._log_bug)
        self._master = master
        self._number = number
        self._signals = SignalSocket()
        self._obey: dict[Signals, tuple[str, Callable[[], None]]] = {
            signal.SIGTERM: (", exiting", self._exit),
            signal.SIGINT: (", exiting", self._exit),
            signal.SIGQUIT: (", shutting down", self._shut_down),
            signal.SIGUSR1: (", reopening logs", self._reopen_logs),
            signal.SIGHUP: (", ignoring", _ignore),
            signal.SIGIO: (", ignoring", _ignore),
            signal.SIGALRM: ("", _ignore),
            signal.SIGUSR2: (", ignoring", _ignore),
            signal.SIGWINCH: (", shutting down", self._shut_down) if daemonised else ("", _ignore),
            signal.SIGTTIN: (", ignoring", _ignore),
            signal.SIGTTOU: (", ignoring", _ignore),
        }

    def open_signals(self) -> None:
        """Take signals as a worker does, not as the master it was forked from."""
        self._signals.open(self._obey)

    def run(self) -> int:
        """Become the worker, serve, and return the process's exit code."""
        gc.freeze()  # what the master made stays shared: a collection here would touch, so copy, all of it
        gc.set_threshold(_NEW_OBJECTS)
        log_unraisable(self._log_bug)
        try:
            self._cycle.stop_publishing()
            identity.assume(self._cycle.settings.core, self._number, self._log)
            self._cycle.service.start(self._loop, self._number, self._cycle.workers)
            if self._cycle.settings.core.worker_sandbox:
                sandbox.enter(self._cycle.log_folders)
        except StartError as error:
            self._log.write(Level.EMERG, str(error))
            return FATAL
        self._loop.watch(self._signals.fileno(), READ, Watch(self._take_signals))
        self._loop.watch(self._master.pipe, READ, Watch(self._miss_master))
        self._loop.watch(self._master.link.fileno(), READ, Watch(self._take_logs))
        tell_service(self._master.link)
        title_worker()  # as in nginx when all is prepared: who sees the title finds all open that will be
        self._loop.run()
        self._cycle.service.abandon()
        self._log.write(Level.NOTICE, "exiting")
        self._log.write(Level.NOTICE, "exit")
        return 0

    def _log_bug(self, bug: BaseException) -> None:
        self._log.write(Level.ALERT, describe_bug(bug))

    def _take_signals(self) -> None:
        for received in self._signals.read():
            action, obey = self._obey[received.signal]
            self._log.write(Level.NOTICE, received.describe(action))
            obey()

    def _miss_master(self) -> None:
        """Without a master nobody could stop or replace us: finish what there is, and free the ports."""
        self._loop.unwatch(self._master.pipe)
        self._log.write(Level.ALERT, "master process is gone, shutting down")
        self._shut_down()

    def _exit(self) -> None:
        self._loop.stop()

    def _shut_down(self) -> None:
        if self._leaving:
            return
        self._leaving = True
        self._log.write(Level.NOTICE, "gracefully shutting down")
        title_leaving_worker()
        timeout = self._cycle.settings.core.worker_shutdown_timeout
        if timeout is not None:
            self._loop.set_deadline(Alarm(self._cycle.service.cut), self._loop.now + timeout)
        self._cycle.service.shutdown_gracefully(self._loop.stop)
        for listener in self._cycle.listeners:
            listener.close()

    def _take_logs(self) -> None:
        files = receive_files(self._master.link)
        if files is not None:
            self._log.write(Level.NOTICE, "reopening logs")
            self._cycle.adopt_logs(files)

    def _reopen_logs(self) -> None:
        """Somebody has told us alone, or the master could not hand us its files."""
        self._log.write(Level.NOTICE, "reopening logs")
        self._cycle.reopen_logs()


def run_worker(cycle: Cycle, number: int, master: FromMaster, unblock: Callable[[], None], *, daemonised: bool) -> int:
    """What a fresh child does; `unblock` lets the signals through that the master keeps blocked.

    Only a worker that is `daemonised` obeys SIGWINCH, which terminals send to all that run in them.
    Never raises: an exception here would go on in the master's frames. Returns the exit code.
    """
    try:
        worker = Worker(cycle, number, master, daemonised=daemonised)
        worker.open_signals()
        unblock()
        return worker.run()
    except BaseException as bug:
        cycle.log.write(Level.ALERT, describe_bug(bug))
        return _FAILED


def _ignore() -> None:
    """For signals that a worker takes no notice of."""
