"""The process that signals are sent to: a master, or a single process."""

from __future__ import annotations

import gc
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import IntEnum
from signal import Signals

from mailworker.errors import StartError
from mailworker.event.timers import Timed
from mailworker.model import Level
from mailworker.process.bug import log_bug
from mailworker.process.cycle import Cycle
from mailworker.process.file_watch import FileWatch, Notify
from mailworker.process.handover.upgrade import Upgrade, old_pid_file
from mailworker.process.link import FileUpdate
from mailworker.process.origin import Origin
from mailworker.process.reload import Reload
from mailworker.process.reopening import Reopening
from mailworker.process.system import pid_file
from mailworker.process.system.callbacks import Alarm
from mailworker.process.system.service_manager import REFUSED
from mailworker.process.system.signals import SILENT, Handler, Received
from mailworker.process.system.titles import title_master


class Leaving(IntEnum):
    """Whether and how the process is exiting; a value never decreases."""

    NO = 0
    GRACEFULLY = 1
    AT_ONCE = 2


class MainProcess(ABC):
    """Runs until it is asked to exit; a reload replaces the old cycle by a new one. For `notify` see FileWatch."""

    __slots__ = (
        "_accepts", "_cycle", "_file_watch", "_handlers", "_leaving", "_origin", "_reload", "_reload_again",
        "_reopen_again", "_reopening", "_reopening_again", "_rotation", "_upgrade",
    )  # fmt: skip

    def __init__(self, origin: Origin, cycle: Cycle, notify: Notify | None = None) -> None:
        self._cycle = cycle
        self._accepts = True
        self._leaving = Leaving.NO
        self._origin = origin
        self._reload: Reload | None = None
        self._reload_again = self._reopen_again = self._reopening_again = False
        self._reopening: Reopening | None = None
        self._rotation = Alarm(self._rotate_ticket_keys, self._expire_after)
        self._upgrade = Upgrade(origin.inheritance, self._after)
        self._file_watch = FileWatch(self._expire_after, self._hand_out, notify)
        self._handlers: dict[Signals, Handler] = {
            **dict.fromkeys((signal.SIGTERM, signal.SIGINT), (", exiting", self._terminate)),
            signal.SIGQUIT: (", shutting down", self._shut_down),
            signal.SIGHUP: (", reconfiguring", self._reconfigure),
            signal.SIGUSR1: (", reopening logs", self._reopen_logs),
            **dict.fromkeys((signal.SIGALRM, signal.SIGIO), SILENT),
        }

    def run(self) -> int:
        """Serve; returns the exit code."""
        try:
            title_master(self._origin.invocation.arguments)
            self._maintain()
            return self._serve()
        finally:
            self._file_watch.close()
            if self._reopening is not None:
                self._reopening.abandon()
            self._cycle.log.write(Level.NOTICE, "exit")
            _remove_pid_files(self._cycle)
            self._cycle.close(shared=self._upgrade.other_runs)

    @property
    @abstractmethod
    def _status(self) -> str:
        """The status that service managers show."""

    @abstractmethod
    def hold_signals(self) -> None:
        """Hold signals back until `run` can obey them; called before other processes can learn our process id."""

    @abstractmethod
    def _serve(self) -> int:
        """Serve until the end, and return the exit code."""

    @abstractmethod
    def _end_sessions(self) -> None:
        """Have sessions finish; then `_serve` returns."""

    @abstractmethod
    def _end(self) -> None:
        """Make `_serve` return as soon as possible."""

    @abstractmethod
    def _succeed(self, old: Cycle) -> None:
        """Begin to serve the new cycle, and finish the sessions of `old`."""

    @abstractmethod
    def _reopen_files(self) -> None:
        """Reopen the cycle's log files, for all processes that write them."""

    @abstractmethod
    def _expire_after(self, timed: Timed, seconds: float) -> None:
        """Have `timed` expire after these seconds; this replaces its former deadline."""

    def _hand_out(self, found: FileUpdate) -> None:
        """See FileWatch; a single process has adopted the update already."""
        os.close(found.descriptor)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._expire_after(Alarm(action, self._expire_after), seconds)

    def _obey(self, received: Received) -> None:
        action, handler = self._meaning(received.signal)
        self._cycle.log.write(Level.NOTICE, received.describe(action))
        handler()

    def _meaning(self, number: Signals) -> Handler:
        return self._handlers[number]

    def _log_bug(self, bug: BaseException) -> None:
        log_bug(self._cycle.log, bug)

    # Leaving

    def _terminate(self) -> None:
        if self._leave(Leaving.AT_ONCE):
            self._end()

    def _shut_down(self) -> None:
        """End sessions, after shutdown_delay unless another master serves; a second signal skips the delay."""
        first = self._leave(Leaving.GRACEFULLY) and not self._upgrade.other_runs
        delay = self._cycle.settings.core.shutdown_delay if first else 0.0
        if delay:
            self._cycle.log.write(Level.NOTICE, f"accepting for {delay * 1000:.0f}ms more")
        self._after(delay, self._stop_accepting) if delay else self._stop_accepting()

    def _stop_accepting(self) -> None:
        if self._accepts and self._leaving is Leaving.GRACEFULLY:
            self._accepts = False
            self._end_sessions()

    def _leave(self, leaving: Leaving) -> bool:
        """Begin to exit in this way, and announce that; False if that has begun before."""
        if self._leaving >= leaving:
            return False
        self._leaving = leaving
        self._abandon_reload()
        self._upgrade.announce_leaving(self._origin.manager)
        return True

    # Another cycle

    def _reconfigure(self) -> None:
        if self._leaving:
            return
        if self._reload is not None:
            self._reload_again = True  # the files may have changed since they were read
            return
        self._origin.manager.reloading()
        self._reopen_again = False
        self._reload = Reload(self._origin.invocation, self._cycle, self._after, self._reloaded)
        self._reload.run()

    def _reloaded(self, result: Cycle | str) -> None:
        """Switch to the new cycle; if the reload has failed, and `result` is the error, the old cycle goes on."""
        failure = result if isinstance(result, str) else None
        self._reload = None
        try:
            if isinstance(result, Cycle):
                self._switch(result)
        finally:
            self._origin.manager.ready(self._status if failure is None else REFUSED)
            self._report_reload(failure)
        if self._reload_again:
            self._reload_again = False
            self._reconfigure()  # it may fail at once, if no process can be started for it

    def _report_reload(self, failure: str | None) -> None:  # noqa: B027 - a single process tells nobody
        """Report the end of a reload to those that wait for it; `failure` is None if it has succeeded."""

    def _switch(self, new: Cycle) -> None:
        old, self._cycle = self._cycle, new
        new.redirect_stderr()
        try:
            self._maintain()
        finally:  # there is no way back
            self._succeed(old)
        if self._reopen_again:
            self._reopen_logs()

    def _maintain(self) -> None:
        """Rotate the ticket keys of the present cycle and watch its files, from now on."""
        gc.collect()  # now, as after a fork the collector would copy the memory that is shared with the children
        self._rotate_ticket_keys()
        self._file_watch.follow(self._cycle)

    def _rotate_ticket_keys(self) -> None:
        """Rotate those of the present cycle that are due; this process is their only writer."""
        pause = self._cycle.rotate_ticket_keys()
        if pause is not None:
            self._expire_after(self._rotation, pause)

    def _abandon_reload(self) -> None:
        self._reload_again = False
        if self._reload is not None:
            self._reload.abandon()
            self._reload = None
            self._origin.manager.ready(self._status)

    # Logs

    def _reopen_logs(self) -> None:
        self._reopen_again = self._reload is not None  # the reload may have opened its logs already
        if self._reopening is not None:
            self._reopening_again = True  # the files may have been moved since they were tried
            return
        self._reopening = Reopening(self._cycle, self._after, self._reopened)
        self._reopening.run()

    def _reopened(self, error: StartError | None) -> None:
        """Reopen the log files, unless a try has failed with `error`."""
        self._reopening = None
        if error is None:
            self._reopen_files()
            self._cycle.redirect_stderr()
        else:
            self._cycle.log.write(Level.EMERG, str(error))
        if self._reopening_again:
            self._reopening_again = False
            self._reopen_logs()


def _remove_pid_files(cycle: Cycle) -> None:
    try:
        for path in (cycle.settings.core.pid, old_pid_file(cycle)):
            pid_file.remove(path)
    except StartError as error:
        cycle.log.write(Level.ALERT, str(error))
