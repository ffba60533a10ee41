"""The log writer: the helper that writes access logs, so that workers do not wait for a disk or a syslog server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from mailworker.log.destinations import Destinations
from mailworker.log.handing import unpack
from mailworker.log.losses import Losses
from mailworker.process.cycle import Cycle
from mailworker.process.helper import LONGEST, Helper
from mailworker.process.log_counts import count_handing, count_losses, line_counts
from mailworker.process.system import sandbox


class LogWriter(Helper):
    """Writes the lines that workers send; workers drop lines for which it has no room."""

    __slots__ = ("_counts", "_destinations", "_refused")

    _counts: list[Callable[[], None]]
    _destinations: Destinations
    _refused: Losses

    name = "log writer process"

    @classmethod
    def is_wanted(cls, cycle: Cycle) -> bool:
        """Whether there is an access log."""
        return bool(cycle.settings.destinations)

    @classmethod
    def files(cls, cycle: Cycle) -> Mapping[Path, int]:
        """The files of all logs, including access logs."""
        return cycle.logs.files

    def _prepare(self) -> None:
        self._refused = Losses(self._log, self._after)
        self._destinations = self._cycle.logs.write_access_logs(self._after)
        settings, counters = self._cycle.settings.destinations, self._cycle.counters
        self._counts = line_counts(counters, settings)
        count_losses(counters, settings, self._destinations.losses)
        count_handing(counters, self._refused)

    def _enter_sandbox(self) -> None:
        sandbox.enter(self._destinations.folders)

    def _receive(self, packet: memoryview, channel: socket.socket) -> None:
        line = None if len(packet) == LONGEST else unpack(packet)
        if line is None or line[0] >= len(self._destinations):
            self._refused.add(1, "a worker has sent an invalid or too long line of an access log")
        else:
            self._destinations.take(*line)
            self._counts[line[0]]()

    def _pause(self) -> None:
        self._destinations.pause()

    def _close(self) -> None:
        self._destinations.close()
        self._refused.report()
