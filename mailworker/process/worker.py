"""The worker process, which serves clients."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.log.access import LineSink
from mailworker.log.handing import HandingSink
from mailworker.log.losses import Losses
from mailworker.model import Level
from mailworker.process.child_process import ChildProcess, FromMaster
from mailworker.process.cycle import Cycle, finish
from mailworker.process.link import PAIRS, USERS, Kick
from mailworker.process.log_counts import count_handing, count_unwritten
from mailworker.process.log_writer import LogWriter
from mailworker.process.system import identity, sandbox
from mailworker.shm.conns import tables


class Worker(ChildProcess):
    """Serves one cycle."""

    __slots__ = ("_losses",)

    def __init__(self, cycle: Cycle, number: int, master: FromMaster) -> None:
        super().__init__(cycle, number, master)
        self._losses = Losses(self._log, self._after)

    name = "worker process"
    uses = (USERS, PAIRS)

    def _start(self) -> None:
        core = self._cycle.settings.core
        identity.assume(core, self._number, self._log)
        for listener in self._cycle.status_listeners:
            listener.close()
        if self._cycle.counters is not None:
            self._cycle.service.count(self._cycle.counters)
            count_unwritten(self._cycle.counters, self._cycle.logs)
        self._cycle.service.limit_connections(tables(self._cycle.zones))
        self._enlist()
        self._cycle.service.start(self._loop, self._number, self._cycle.workers, lines=self._lines())
        if core.worker_sandbox:
            sandbox.enter()
        if self._cycle.scoreboard is not None:
            self._cycle.scoreboard.serve()

    def _enlist(self) -> None:
        table = self._cycle.session_table
        if table is not None:
            self._cycle.service.enlist(table)
            if table.own is None:
                self._log.write(
                    Level.WARN,
                    "the session table has no room, because of former workers: sessions of this worker are not listed",
                )

    def _finish(self, done: Callable[[], None]) -> None:
        finish(self._cycle, self._after, done)
        for listener in self._cycle.listeners:
            listener.close()

    def _lines(self) -> LineSink | None:
        """The sink that sends lines of access logs to the log writer, None without a log writer."""
        channel = self._master.channels.get(LogWriter.name)
        if channel is None:
            return None
        count_handing(self._cycle.counters, self._losses)
        return HandingSink(channel, len(self._cycle.settings.destinations), self._losses)

    def _limit_logs(self, level: int) -> None:
        super()._limit_logs(level)
        self._cycle.service.follow_log_level()

    def _kick(self, kick: Kick) -> None:
        self._cycle.service.kick(kick.sessions, kick.why)

    def _end(self) -> None:
        self._cycle.service.abandon()
        self._losses.report()
