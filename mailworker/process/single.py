"""`master_process off`: one process is master and worker at once, for debugging."""

from __future__ import annotations

import signal
from functools import partial

from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.event.timers import Timed
from mailworker.model import Level
from mailworker.process.bug import log_unraisable
from mailworker.process.cycle import Cycle, finish
from mailworker.process.main_process import MainProcess
from mailworker.process.origin import Origin
from mailworker.process.system.callbacks import Watch
from mailworker.process.system.signals import HELD, IGNORED, SILENT, BlockedSignals, SignalSocket
from mailworker.shm.conns import tables

# Its row in zones that have rows.
_ROW = 0


class SingleProcess(MainProcess):
    """Serves without workers. It keeps its user, as only workers drop privileges."""

    __slots__ = ("_loop", "_retiring", "_signals")

    def __init__(self, origin: Origin, cycle: Cycle) -> None:
        super().__init__(origin, cycle)
        self._loop = Loop(on_bug=self._log_bug)
        self._retiring: list[Cycle] = []
        self._signals = SignalSocket()
        # Without a master the binary cannot be changed, and there are no workers to add or remove.
        self._handlers |= dict.fromkeys((signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU), IGNORED)
        self._handlers[signal.SIGWINCH] = SILENT

    @property
    def _status(self) -> str:
        return "Serving in a single process"

    def hold_signals(self) -> None:
        """See MainProcess."""
        self._signals.open(self._handlers)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps file readers, which exit after a reload
        BlockedSignals(HELD).unblock()

    def _serve(self) -> int:
        log_unraisable(self._log_bug)
        self._loop.watch(self._signals.fileno(), READ, Watch(self._take_signals))
        self._start(self._cycle)
        self._origin.serve(self._status)
        self._origin.manager.keep_alive(self._after)
        self._loop.run()
        for cycle in (self._cycle, *self._retiring):
            cycle.service.abandon()
        for cycle in self._retiring:
            cycle.logs.close()
        return 0

    def _start(self, cycle: Cycle) -> None:
        cycle.claim(_ROW)
        lines = cycle.logs.write_access_logs(self._after) if cycle.settings.destinations else None
        cycle.service.limit_connections(tables(cycle.zones))
        cycle.service.start(self._loop, 0, 1, lines=lines)

    def _take_signals(self) -> None:
        for received in self._signals.read():
            self._obey(received)

    def _end(self) -> None:
        self._loop.stop()

    def _end_sessions(self) -> None:
        self._cycle.log.write(Level.NOTICE, "gracefully shutting down")
        finish(self._cycle, self._after, self._loop.stop)

    def _succeed(self, old: Cycle) -> None:
        # Sockets of both cycles must be removed from the selector before they are added again.
        self._retiring.append(old)
        finish(old, self._after, partial(self._retire, old))
        old.remove_listeners(self._cycle, shared=self._upgrade.other_runs)
        self._start(self._cycle)

    def _retire(self, old: Cycle) -> None:
        self._retiring.remove(old)
        old.logs.close()

    def _reopen_files(self) -> None:
        self._cycle.logs.reopen()

    def _expire_after(self, timed: Timed, seconds: float) -> None:
        self._loop.set_deadline(timed, self._loop.now + seconds)
