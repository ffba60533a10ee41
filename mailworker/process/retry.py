"""Retries of what fails for the moment, such as sending to a process whose queue is full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mailworker.model import After

# Seconds until the first repetition, doubling up to the last.
_FIRST: Final = 0.05
_LAST: Final = 1.0


class Retry:
    """Calls `attempt` again and again until it returns True. Calls of `now` do not add further retries.

    `after(seconds, action)` arranges for a call later.
    """

    __slots__ = ("_after", "_attempt", "_due", "_pause")

    def __init__(self, after: After, attempt: Callable[[], bool]) -> None:
        self._after = after
        self._attempt = attempt
        self._due = False
        self._pause = _FIRST

    def now(self) -> None:
        """Attempt it now; if that fails, retry later."""
        try:
            done = self._attempt()
        except MemoryError:
            done = False
        if done:
            self._pause = _FIRST
        elif not self._due:
            self._due = True
            self._after(self._pause, self._again)

    def _again(self) -> None:
        self._due = False
        self._pause = min(self._pause * 2, _LAST)
        self.now()
