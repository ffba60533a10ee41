"""The master: obeys signals, keeps its workers alive, and puts a new cycle in the place of the old."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import Enum, auto
from signal import Signals
from time import monotonic

from mailworker.errors import StartError
from mailworker.event.timers import Timed, Timers
from mailworker.model import Level
from mailworker.process.bug import describe_bug
from mailworker.process.children import Children
from mailworker.process.cycle import Cycle
from mailworker.process.handover.upgrade import Upgrade, old_pid_file
from mailworker.process.origin import Origin
from mailworker.process.reload import Reload
from mailworker.process.system import pid_file
from mailworker.process.system.alarm import Alarm
from mailworker.process.system.service_manager import REFUSED
from mailworker.process.system.signals import TAKEN, BlockedSignals, Received
from mailworker.process.system.titles import title_master
from mailworker.process.ticket_rotation import TicketRotation
from mailworker.process.workforce import Workforce

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
        "_cycle", "_failed", "_handlers", "_leaving", "_origin", "_reload", "_reload_again", "_reopen_again",
        "_resting", "_signals", "_ticket_rotation", "_timers", "_upgrade", "_workforce",
    )  # fmt: skip

    def __init__(self, origin: Origin, cycle: Cycle) -> None:
        self._origin = origin
        self._cycle = cycle
        self._leaving = _Leaving.NO
        self._reload: Reload | None = None
        self._failed = self._reload_again = self._reopen_again = self._resting = False
        self._ticket_rotation = TicketRotation(self._expire_after)
        self._timers = Timers()
        self._upgrade = Upgrade(origin.inheritance)
        self._signals = BlockedSignals(TAKEN)
        children = Children(self._signals.unblock, lambda: _leave(origin, self._reload), daemonised=origin.daemonised)
        self._workforce = Workforce(cycle, children, self._after)
        self._handlers: dict[Signals, tuple[str, Callable[[], None]]] = {
            signal.SIGTERM: (", exiting", self._terminate),
            signal.SIGINT: (", exiting", self._terminate),
            signal.SIGQUIT: (", shutting down", self._shut_down),
            signal.SIGHUP: (", reconfiguring", self._reconfigure),
            signal.SIGUSR1: (", reopening logs", self._reopen_logs),
            signal.SIGUSR2: (", changing binary", self._change_binary),
            signal.SIGWINCH: (", stop accepting connections", self._rest),
            signal.SIGTTIN: (", adding a worker process", self._workforce.add),
            signal.SIGTTOU: (", removing a worker process", self._workforce.remove),
            signal.SIGCHLD: ("", self._reap),
            **dict.fromkeys((signal.SIGALRM, signal.SIGIO), ("", _ignore)),
        }

    def hold_signals(self) -> None:
        """Keep signals until `run` can obey them; to be called before anybody knows whom to send them to."""
        self._signals.block()

    def run(self) -> int:
        """Start the workers and serve; returns the exit code."""
        try:
            self._serve()
        finally:
            self._cycle.log.write(Level.NOTICE, "exit")
            _remove_pid_files(self._cycle)
            self._workforce.close()
            self._cycle.close(shared=self._upgrade.other_runs)
        return int(self._failed)

    def _serve(self) -> None:
        title_master(self._origin.invocation.arguments)
        self._ticket_rotation.follow(self._cycle)
        self._workforce.start()
        self._workforce.when_serving(self._started)
        self._origin.manager.keep_alive(self._after)
        while self._leaving is _Leaving.NO or self._workforce:
            received = self._signals.wait(self._timers.delay(monotonic()))
            try:
                if received is not None:
                    self._obey(received)
                self._timers.expire(monotonic())
            except Exception as bug:  # the workers need a master
                self._cycle.log.write(Level.ALERT, describe_bug(bug))

    def _started(self) -> None:
        """There is a worker that serves, or there will be none: then there is nothing to stay for."""
        self._failed = self._workforce.hopeless
        if self._failed:
            self._origin.fail(self._cycle.log, "no worker process could start")
            self._terminate()
        else:
            self._origin.serve(self._workforce.status)

    def _obey(self, received: Received) -> None:
        action, handler = self._meaning(received.signal)
        self._cycle.log.write(Level.NOTICE, received.describe(action))
        handler()

    def _meaning(self, number: Signals) -> tuple[str, Callable[[], None]]:
        """What a signal means at this time: what the log says of it and what is done."""
        if number == signal.SIGUSR2 and self._upgrade.other_runs:
            return ", ignoring", lambda: self._upgrade.refuse(self._cycle)
        if number == signal.SIGWINCH and not self._origin.daemonised:
            return "", _ignore  # a terminal sends it when its window changes
        return self._handlers[number]

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._expire_after(Alarm(action), seconds)

    def _expire_after(self, timed: Timed, seconds: float) -> None:
        now = monotonic()
        self._timers.set(timed, now + seconds, now)

    # Workers

    def _reap(self) -> None:
        for ended in self._workforce.reap():
            if self._upgrade.take_back(ended.pid, self._cycle):
                ended.log(self._cycle.log)
                self._go_on_alone()

    def _rest(self) -> None:
        """Serve no more, but stay: for another binary, or until the next SIGHUP."""
        if self._leaving is _Leaving.NO:
            self._resting = True
            self._abandon_reload()
            self._workforce.dismiss()

    def _resume(self) -> None:
        self._resting = False
        self._workforce.start()

    # Leaving

    def _terminate(self) -> None:
        if self._leaving is not _Leaving.AT_ONCE:
            self._announce_leaving()
            self._leaving = _Leaving.AT_ONCE
            self._workforce.terminate()

    def _shut_down(self) -> None:
        if self._leaving is _Leaving.NO:
            self._announce_leaving()
            self._leaving = _Leaving.GRACEFULLY
            self._workforce.dismiss()
            self._cycle.remove_listeners(shared=self._upgrade.other_runs)

    def _announce_leaving(self) -> None:
        self._abandon_reload()
        self._upgrade.announce_leaving(self._origin.manager)

    # Another binary

    def _change_binary(self) -> None:
        if self._leaving is _Leaving.NO:
            self._abandon_reload()  # the new binary reads the configuration anyway
            self._upgrade.start(self._cycle)

    def _go_on_alone(self) -> None:
        """The new binary has ended: whatever it was to take over is ours again."""
        if self._leaving is not _Leaving.NO:
            return
        if self._resting:
            self._resume()
        self._origin.manager.ready(self._workforce.status)

    # Another cycle

    def _reconfigure(self) -> None:
        if self._leaving is not _Leaving.NO:
            return
        if self._upgrade.new_runs:
            self._resume()  # the configuration may be one for the new binary
            return
        if self._reload is not None:
            self._reload_again = True  # the files may have changed since they were read
            return
        self._origin.manager.reloading()
        self._reopen_again = False
        self._reload = Reload(self._origin.invocation, self._cycle, self._after, self._reloaded)
        self._reload.run()

    def _reloaded(self, new: Cycle | None) -> None:
        """A reload has ended; `new` is None if it failed, and then all stays as it is."""
        self._reload = None
        if new is None:
            self._origin.manager.ready(REFUSED)
        else:
            self._swap(new)
            self._origin.manager.ready(self._workforce.status)
        if self._reload_again:
            self._reload_again = False
            self._reconfigure()

    def _swap(self, new: Cycle) -> None:
        old, self._cycle = self._cycle, new
        self._resting = False
        new.redirect_stderr()
        old.close(new, shared=self._upgrade.other_runs)
        self._ticket_rotation.follow(new)
        self._workforce.follow(new)
        self._after(_HANDOVER, self._workforce.dismiss_former)
        if self._reopen_again:
            self._reopen_logs()

    def _abandon_reload(self) -> None:
        self._reload_again = False
        if self._reload is not None:
            self._reload.abandon()
            self._reload = None
            self._origin.manager.ready(self._workforce.status)

    def _reopen_logs(self) -> None:
        self._cycle.log.write(Level.NOTICE, "reopening logs")
        user = self._cycle.settings.core.user
        self._cycle.reopen_logs(user.uid if user is not None and os.geteuid() == 0 else None)
        self._cycle.redirect_stderr()
        self._workforce.hand_out_logs()
        self._reopen_again = self._reload is not None  # which has opened its logs already


def _remove_pid_files(cycle: Cycle) -> None:
    try:
        for path in (cycle.settings.core.pid, old_pid_file(cycle)):
            pid_file.remove(path)
    except StartError as error:
        cycle.log.write(Level.ALERT, str(error))


def _leave(origin: Origin, reload: Reload | None) -> None:
    """Give back, in a worker, what is the master's alone."""
    origin.leave()
    if reload is not None:
        reload.leave()


def _ignore() -> None:
    """Nothing is to be done."""
