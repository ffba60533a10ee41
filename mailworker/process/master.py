"""The master: it handles signals, replaces workers that end, and switches to a new cycle at a reload."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from signal import Signals
from time import monotonic

from mailworker.event.timers import Timed, Timers
from mailworker.process.bug import survive
from mailworker.process.children import Children
from mailworker.process.cycle import Cycle
from mailworker.process.file_watch import FileWatch
from mailworker.process.handover.upgrade import Upgrade
from mailworker.process.link import FileUpdate, notify_by_signal
from mailworker.process.main_process import Leaving, MainProcess
from mailworker.process.origin import Origin
from mailworker.process.reload import Reload
from mailworker.process.reopening import Reopening
from mailworker.process.status_process import StatusProcess
from mailworker.process.steering import Steering
from mailworker.process.system.signals import SILENT, TAKEN, BlockedSignals, Handler, Received
from mailworker.process.workforce import Workforce, process_of
from mailworker.status.master_state import MasterState

# nginx's, in seconds: the time for new workers to start before the old ones stop accepting.
_HANDOVER = 0.1


class Master(MainProcess):
    """Runs the workers, and exits after the last of them."""

    __slots__ = ("_children", "_failed", "_noaccepting", "_signals", "_state", "_steering", "_timers", "_workforce")

    def __init__(self, origin: Origin, cycle: Cycle) -> None:
        super().__init__(origin, cycle, notify_by_signal)
        self._failed = self._noaccepting = False
        self._state = MasterState()
        self._timers = Timers()
        self._signals = BlockedSignals(TAKEN)
        self._children = Children(
            self._signals.unblock,
            lambda: _leave(origin, self._upgrade, self._reload, self._reopening, self._file_watch),
            self._after,
            daemonised=origin.daemonised,
        )
        self._workforce = Workforce(cycle, self._children, self._after)
        self._steering = Steering(
            self, self._children, self._workforce.kicking, self._upgrade, self._state, self._after
        )
        self._handlers |= {
            signal.SIGUSR2: (", changing binary", self._change_binary),
            signal.SIGWINCH: (", stop accepting connections", self._noaccept),
            signal.SIGTTIN: (", adding a worker process", self._workforce.add),
            signal.SIGTTOU: (", removing a worker process", self._workforce.remove),
            signal.SIGCHLD: ("", self._reap),
        }

    @property
    def _status(self) -> str:
        return self._workforce.status

    def hold_signals(self) -> None:
        """See MainProcess."""
        self._signals.block()

    def _serve(self) -> int:
        with closing(self._children):
            self._workforce.start()
            self._workforce.when_serving(self._started)
            self._origin.manager.keep_alive(self._after)
            while not self._leaving or self._children:
                try:
                    self._handle_next()
                except MemoryError as bug:  # a signal may be lost, such as one that announces the end of a child
                    self._log_bug(bug)
                    survive(self._reap, self._cycle.log)
        return int(self._failed)

    def _handle_next(self) -> None:
        """Handle the next signal, or the timers that are due before it."""
        survive(self._publish_state, self._cycle.log)
        received = self._signals.wait(self._timers.delay(monotonic()))
        try:
            if received is not None:
                self._obey(received)
            self._timers.expire(monotonic())
        except Exception as bug:  # the workers need a master
            self._log_bug(bug)

    def _obey(self, received: Received) -> None:
        """Handle a signal. SIGIO of the system, which announces messages, is not logged."""
        if received.signal == signal.SIGIO and not received.sender:
            self._steering.receive()
            self._file_watch.receive()
        else:
            super()._obey(received)

    def _publish_state(self) -> None:
        counters = self._cycle.scoreboard
        if counters is not None:
            stopping = self._noaccepting or self._leaving is not Leaving.NO
            self._state.publish(counters, map(process_of, self._children), stopping=stopping)

    def _started(self) -> None:
        """Report that a worker serves, or exit if none can."""
        self._failed = self._workforce.hopeless
        if self._failed:
            self._origin.fail(self._cycle.log, "no worker process could start")
            self._terminate()
        else:
            self._origin.starter.serves()
            if self._reload is None:  # else the end of the reload is reported
                self._origin.manager.ready(self._status)

    def _meaning(self, number: Signals) -> Handler:
        if number == signal.SIGUSR2 and self._upgrade.other_runs:
            return ", ignoring", lambda: self._upgrade.refuse(self._cycle)
        if number == signal.SIGWINCH and not self._origin.daemonised:
            return SILENT  # a terminal sends it when its window changes
        return super()._meaning(number)

    def _expire_after(self, timed: Timed, seconds: float) -> None:
        now = monotonic()
        self._timers.set(timed, now + seconds, now)

    # Workers

    def _hand_out(self, found: FileUpdate) -> None:
        self._children.file_updates.add(found)

    def _reap(self) -> None:
        for ended in self._workforce.reap():
            if self._upgrade.take_back(ended.pid, self._cycle):
                ended.log(self._cycle.log)
                self._new_binary_ended()

    def _noaccept(self) -> None:
        """Stop serving, but do not exit: as another binary serves, or until the next SIGHUP."""
        if not self._leaving:
            self._noaccepting = True
            self._abandon_reload()
            self._workforce.dismiss()
            self._origin.serve(self._status)  # the parent may still wait for the first worker

    def _resume(self) -> None:
        self._noaccepting = False
        self._workforce.start()

    def _end(self) -> None:
        self._workforce.terminate()

    def _end_sessions(self) -> None:
        self._workforce.dismiss()
        self._cycle.remove_mail_listeners(shared=self._upgrade.other_runs)

    # Another binary

    def _change_binary(self) -> None:
        if not self._leaving:
            self._abandon_reload()  # the new binary reads the configuration as well
            self._upgrade.start(self._cycle)

    def _new_binary_ended(self) -> None:
        """Serve again, as the new binary has ended."""
        if self._leaving:
            return
        if self._noaccepting:
            self._resume()
        if self._cycle.scoreboard is not None and self._cycle.scoreboard.displaced:
            self._cycle.scoreboard.reclaim()
            self._workforce.renew(StatusProcess)
        self._origin.manager.ready(self._status)

    # Another cycle

    def _reconfigure(self) -> None:
        if self._upgrade.new_runs and not self._leaving:
            self._resume()  # the configuration may be one for the new binary
        else:
            super()._reconfigure()

    @property
    def cycle(self) -> Cycle:
        """See Steered."""
        return self._cycle

    def reconfigure(self) -> str | None:
        """See Steered."""
        if self._leaving:
            return "the master is shutting down"
        if self._upgrade.other_runs:
            return "another master runs beside this one: end one of them first"
        self._reconfigure()
        return None

    @property
    def reloads(self) -> bool:
        """See Steered."""
        return self._reload is not None

    def _report_reload(self, failure: str | None) -> None:
        self._state.reload(self._cycle.scoreboard, failure)
        self._steering.reloaded()

    def _abandon_reload(self) -> None:
        super()._abandon_reload()
        self._steering.abandoned()

    def _succeed(self, old: Cycle) -> None:
        self._noaccepting = False
        old.close(self._cycle, shared=self._upgrade.other_runs)
        self._workforce.follow(self._cycle)
        self._after(_HANDOVER, self._workforce.dismiss_former)

    def _reopen_files(self) -> None:
        user = self._cycle.settings.core.user
        self._cycle.logs.reopen(user.uid if user is not None and os.geteuid() == 0 else None)
        self._children.hand_out_logs(self._cycle)


def _leave(origin: Origin, *parts: Upgrade | Reload | Reopening | FileWatch | None) -> None:
    """Close, in a child, what only the master needs."""
    origin.leave()
    for each in parts:
        if each is not None:
            each.leave()
