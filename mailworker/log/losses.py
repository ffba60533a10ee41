"""Reporting that lines are lost, without flooding another log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mailworker.log.log import Log
from mailworker.model import After, Level

PAUSE: Final = 60.0
"""Seconds between two reports about the same log, as in nginx."""


class Losses:
    """Counts the lines that a log has lost. Reports the first loss at once, and further ones once a minute.

    `after(seconds, action)` arranges for a later call. `told` is called with the number of lines each time.
    """

    __slots__ = ("_after", "_level", "_log", "_quiet", "_reason", "_unsaid", "told", "total")

    def __init__(self, log: Log, after: After, level: Level = Level.ALERT) -> None:
        self._after = after
        self._level = level
        self._log = log
        self._quiet = False
        self._reason = ""
        self._unsaid = 0
        self.told: Callable[[int], object] = _nobody
        self.total = 0

    def add(self, lines: int, reason: str) -> None:
        """Count lost lines; `reason` is nginx's text of the call that failed."""
        self.total += lines
        self.told(lines)
        self._unsaid += lines
        self._reason = reason
        if not self._quiet:
            self._quiet = True
            self.say()
            self._after(PAUSE, self._again)

    def say(self) -> None:
        """Report at once the losses that are not reported yet, as the process is about to end."""
        if self._unsaid:
            lines = "1 line" if self._unsaid == 1 else f"{self._unsaid} lines"
            self._unsaid = 0
            self._log.write(self._level, f"{self._reason}, {lines} lost")

    def _again(self) -> None:
        self._quiet = self._unsaid > 0
        if self._quiet:
            self.say()
            self._after(PAUSE, self._again)


def _nobody(lines: int) -> None:
    """Do nothing: no counter is kept of lost lines."""
