"""Saying that lines are lost, without filling another log with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mailworker.log.log import Log
from mailworker.model import After, Level

PAUSE: Final = 60.0
"""Seconds between two lines about the same log; nginx's."""


class Losses:
    """Counts the lines that a log has lost, and says it at once, then once a minute while it goes on.

    `after(seconds, action)` arranges for a call later. `told` is called with how many lines each time.
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
        """So many are lost; `reason` is nginx's text of what has failed."""
        self.total += lines
        self.told(lines)
        self._unsaid += lines
        self._reason = reason
        if not self._quiet:
            self._quiet = True
            self.say()
            self._after(PAUSE, self._again)

    def say(self) -> None:
        """Say what has not been said yet, as somebody who is about to end."""
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
    """Nobody counts them."""
