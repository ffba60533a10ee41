"""Reporting that lines are lost, without flooding another log."""

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


# Seconds until a report that no target took is tried again: each attempt costs system calls.
_RETRY: Final = 1.0


class Unwritten:
    """Counts the records that targets of an error log have lost, until one of the targets takes a report about them.

    A process that was forked begins anew: its parent reports what the parent has lost.
    """

    __slots__ = ("_counts", "_process", "_quiet_until")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._counts: dict[str, int] = {}
        self._process = os.getpid()
        self._quiet_until = 0.0

    def add(self, reason: str) -> None:
        """Count a lost record; `reason` is nginx's text of the call that failed."""
        if self._process != os.getpid():
            self._begin()
        self._counts[reason] = self._counts.get(reason, 0) + 1

    def report(self, take: Callable[[str], bool]) -> None:
        """Give what was lost to `take`, once a minute; it returns whether any target took the text."""
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
    """Counts the lines that a log has lost. Reports the first loss at once, and further ones once a minute.

    `after(seconds, action)` arranges for a later call. `count` is called with the number of lines each time.
    """

    __slots__ = ("_after", "_level", "_log", "_quiet", "_reason", "_unsaid", "count", "total")

    def __init__(self, log: Log, after: After, level: Level = Level.ALERT) -> None:
        self._after = after
        self._level = level
        self._log = log
        self._quiet = False
        self._reason = ""
        self._unsaid = 0
        self.count: Callable[[int], object] = _nobody
        self.total = 0

    def add(self, lines: int, reason: str) -> None:
        """Count lost lines; `reason` is nginx's text of the call that failed."""
        self.total += lines
        self.count(lines)
        self._unsaid += lines
        self._reason = reason
        if not self._quiet:
            self._quiet = True
            self.say()
            self._after(PAUSE, self._again)

    def say(self) -> None:
        """Report at once the losses that are not reported yet, as the process is about to end."""
        if self._unsaid:
            text = _lost(self._reason, self._unsaid)
            self._unsaid = 0
            self._log.write(self._level, text)

    def _again(self) -> None:
        self._quiet = self._unsaid > 0
        if self._quiet:
            self.say()
            self._after(PAUSE, self._again)


def _lost(reason: str, lines: int) -> str:
    return f"{reason}, {counted(lines, 'line')} lost"


def _nobody(lines: int) -> None:
    """Do nothing: no counter is kept of lost lines."""
