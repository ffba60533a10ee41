"""Reports of lost log lines, at most one in a minute."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mailworker.errors import counted
from mailworker.model import After, Level

if TYPE_CHECKING:
    from mailworker.log.log import Log

PAUSE: Final = 60.0
"""Seconds between two reports about the same log, as in nginx."""


# Seconds before a report that no target has taken is tried again, as each try takes system calls.
_RETRY: Final = 1.0


class Unwritten:
    """Counts the lines that targets of an error log have lost, until a target takes a report about them.

    A process that was forked begins with no lost lines, as its parent reports its own.
    """

    __slots__ = ("_counts", "_process", "_quiet_until")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._counts: dict[str, int] = {}
        self._process = os.getpid()
        self._quiet_until = 0.0

    def add(self, reason: str) -> None:
        """Count a lost line; `reason` is nginx's text for the call that failed."""
        if self._process != os.getpid():
            self._begin()
        self._counts[reason] = self._counts.get(reason, 0) + 1

    def report(self, take: Callable[[str], bool]) -> None:
        """Report the losses by `take`, once a minute; it returns whether a target has taken the text."""
        now = time.monotonic()
        if not self._counts or now < self._quiet_until or self._process != os.getpid():
            return
        counts, self._counts = self._counts, {}
        for reason, lines in counts.items():
            if take(_lost(reason, lines)):
                self._quiet_until = now + PAUSE
            else:
                self._counts[reason] = lines
                self._quiet_until = max(self._quiet_until, now + _RETRY)


class Losses:
    """Counts the lines that a log has lost. It reports the first loss at once, and further ones once a minute.

    `after(seconds, action)` arranges for a call later. `count` is called with the number of lines.
    """

    __slots__ = ("_after", "_level", "_log", "_quiet", "_reason", "_unreported", "count", "total")

    def __init__(self, log: Log, after: After, level: Level = Level.ALERT) -> None:
        self._after = after
        self._level = level
        self._log = log
        self._quiet = False
        self._reason = ""
        self._unreported = 0
        self.count: Callable[[int], object] = lambda lines: None
        self.total = 0

    def add(self, lines: int, reason: str) -> None:
        """Count lost lines; `reason` is nginx's text for the call that failed."""
        self.total += lines
        self.count(lines)
        self._unreported += lines
        self._reason = reason
        if not self._quiet:
            self._quiet = True
            self.report()
            self._after(PAUSE, self._again)

    def report(self) -> None:
        """Report the losses that are not reported yet."""
        if self._unreported:
            text = _lost(self._reason, self._unreported)
            self._unreported = 0
            self._log.write(self._level, text)

    def _again(self) -> None:
        self._quiet = self._unreported > 0
        if self._quiet:
            self.report()
            self._after(PAUSE, self._again)


def _lost(reason: str, lines: int) -> str:
    return f"{reason}, {counted(lines, 'line')} lost"
