"""The master: obeys signals, keeps its workers alive, and puts a new cycle in the place of the old."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import Enum, auto
from signal import Signals
from time import monotonic

from mailworker.config.settings import Level
from mailworker.errors import StartError
from mailworker.event.timers import Timers
from mailworker.process import pid_file
from mailworker.process.alarm import Alarm
from mailworker.process.bug import describe_bug
from mailworker.process.children import Child, Children
from mailworker.process.cycle import Cycle, Invocation
from mailworker.process.daemon import redirect_stderr
from mailworker.process.reload import Reload
from mailworker.process.signals import BlockedSignals, Received
from mailworker.process.ticket_rotation import TicketRotation
from mailworker.process.titles import title_master

# nginx's, in seconds: after the first SIGTERM, doubling; past the last one SIGKILL follows.
_FIRST_TERM_DELAY = 0.05
_LAST_TERM_DELAY = 1.0
# nginx's, in seconds: what new workers get to start before the old ones stop to accept.
_HANDOVER = 0.1


class _Leaving(Enum):
    """What the master is up to."""

    NO = auto()
    GRACEFULLY = auto()
    AT_ONCE = auto()


class Master:
    """Runs until it is told to leave and its last worker has gone."""

    __slots__ = (
        "_children", "_cycle", "_handlers", "_invocation", "_leaving", "_reload", "_reload_again", "_signals",
        "_term_delay", "_ticket_rotation", "_timers",
    )  # fmt: skip

    def __init__(self, invocation: Invocation, cycle: Cycle) -> None:
        self._invocation = invocation
        self._cycle = cycle
        self._leaving = _Leaving.NO
        self._reload: Reload | None = None
        self._reload_again = False
        self._term_delay = 0.0
        self._ticket_rotation = TicketRotation(self._after)
        self._timers = Timers()
        self._handlers: dict[Signals, tuple[str, Callable[[], None]]] = {
            signal.SIGTERM: (", exiting", self._terminate),
            signal.SIGINT: (", exiting", self._terminate),
            signal.SIGQUIT: (", shutting down", self._shut_down),
            signal.SIGHUP: (", reconfiguring", self._reconfigure),
            signal.SIGUSR1: (", reopening logs", self._reopen_logs),
            signal.SIGUSR2: (", ignoring", _ignore),
            signal.SIGWINCH: (", ignoring", _ignore),
            signal.SIGTTIN: (", ignoring", _ignore),
            signal.SIGTTOU: (", ignoring", _ignore),
            signal.SIGCHLD: ("", self._reap),
            signal.SIGALRM: ("", _ignore),
            signal.SIGIO: ("", _ignore),
        }
        self._signals = BlockedSignals(self._handlers)
        self._children = Children(self._signals.unblock)

    def hold_signals(self) -> None:
        """Keep signals until `run` can obey them; to be called before anybody knows whom to send them to."""
        self._signals.block()

    def run(self) -> int:
        """Start the workers and serve; returns the exit code."""
        title_master(self._invocation.arguments)
        self._ticket_rotation.follow(self._cycle)
        self._start_workers()
        while self._leaving is _Leaving.NO or self._children:
            received = self._signals.wait(self._timers.delay(monotonic()))
            try:
                if received is not None:
                    self._obey(received)
                self._timers.expire(monotonic())
            except Exception as bug:  # the workers need a master
                self._cycle.log.write(Level.ALERT, describe_bug(bug))
        self._leave()
        return 0

    def _leave(self) -> None:
        self._cycle.log.write(Level.NOTICE, "exit")
        try:
            pid_file.remove(self._cycle.settings.core.pid)
        except StartError as error:
            self._cycle.log.write(Level.ALERT, str(error))
        self._children.close()
        self._cycle.close()

    def _obey(self, received: Received) -> None:
        action, handler = self._handlers[received.signal]
        self._cycle.log.write(Level.NOTICE, received.describe(action))
        handler()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        now = monotonic()
        self._timers.set(Alarm(action), now + seconds, now)

    # Workers

    def _start_workers(self) -> None:
        self._cycle.log.write(Level.NOTICE, "start worker processes")
        for number in range(self._cycle.workers):
            self._children.spawn(self._cycle, number, monotonic())

    def _reap(self) -> None:
        for ended in self._children.reap():
            ended.log(self._cycle.log)
            if not ended.fatal and self._is_needed(ended.child):
                self._replace(ended.child)

    def _is_needed(self, child: Child) -> bool:
        return self._leaving is _Leaving.NO and child.cycle is self._cycle and not child.leaving

    def _replace(self, child: Child) -> None:
        def spawn() -> None:
            if self._is_needed(child):
                self._children.spawn(self._cycle, child.number, monotonic())

        pause = self._children.pause(child, monotonic())
        if pause:
            self._after(pause, spawn)
        else:
            spawn()

    # Leaving

    def _terminate(self) -> None:
        if self._leaving is not _Leaving.AT_ONCE:
            self._leaving = _Leaving.AT_ONCE
            self._abandon_reload()
            self._term_delay = _FIRST_TERM_DELAY
            self._insist()

    def _insist(self) -> None:
        """Send SIGTERM again and again, in growing intervals, and SIGKILL to whoever is deaf."""
        if self._term_delay > _LAST_TERM_DELAY:
            self._children.signal(signal.SIGKILL)
        else:
            self._children.signal(signal.SIGTERM)
        self._after(self._term_delay, self._insist)
        self._term_delay *= 2

    def _shut_down(self) -> None:
        if self._leaving is _Leaving.NO:
            self._leaving = _Leaving.GRACEFULLY
            self._abandon_reload()
            self._children.shut_down()
            self._cycle.remove_listeners()

    # Another cycle

    def _reconfigure(self) -> None:
        if self._leaving is not _Leaving.NO:
            return
        if self._reload is not None:
            self._reload_again = True  # the files may have changed since they were read
            return
        self._reload = Reload(self._invocation, self._cycle, self._after, self._reloaded)
        self._reload.run()

    def _reloaded(self, new: Cycle | None) -> None:
        """A reload has ended; `new` is None if it failed, and then all stays as it is."""
        self._reload = None
        if new is not None:
            self._swap(new)
        if self._reload_again:
            self._reload_again = False
            self._reconfigure()

    def _swap(self, new: Cycle) -> None:
        old, self._cycle = self._cycle, new
        redirect_stderr(new.log)
        old.close(new)
        self._ticket_rotation.follow(new)
        self._start_workers()
        self._after(_HANDOVER, self._shut_down_old_workers)

    def _shut_down_old_workers(self) -> None:
        self._children.shut_down(lambda child: child.cycle is not self._cycle)

    def _abandon_reload(self) -> None:
        self._reload_again = False
        if self._reload is not None:
            self._reload.abandon()
            self._reload = None

    def _reopen_logs(self) -> None:
        self._cycle.log.write(Level.NOTICE, "reopening logs")
        user = self._cycle.settings.core.user
        self._cycle.reopen_logs(user.uid if user is not None and os.geteuid() == 0 else None)
        redirect_stderr(self._cycle.log)
        self._children.signal(signal.SIGUSR1)


def _ignore() -> None:
    """A place for what the signal will do."""
