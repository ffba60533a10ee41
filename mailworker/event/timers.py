"""Deadlines of many sessions, cheap to set, to move and to cancel; native/core/timers.c has them in C.

Deadlines that are due at about the same time share a bucket. Buckets are wider the further away they are, so ten
thousand sessions with a timeout of 24 hours need a handful of them. Moving a deadline further away leaves its bucket as
it is: when that is due, the deadline moves to another bucket. Nothing ever expires early.
"""

from __future__ import annotations

from bisect import insort
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING, Final

from mailworker.native.core import accelerator

__all__ = ["Timed", "Timers"]

# Seconds: selectors count milliseconds in 31 bits, which a timeout of a month exceeds.
_LONGEST_DELAY: Final = 24 * 3600.0


class Timed:
    """An object with a deadline.

    `deadline` is in seconds of the monotonic clock, `inf` for none. `bucket` is when its bucket is due, `inf` for none.
    """

    __slots__ = ("bucket", "deadline")

    def __init__(self) -> None:
        self.bucket = self.deadline = inf

    def expire(self) -> None:
        """Called once when the deadline has passed."""
        raise NotImplementedError


class Timers:
    """All deadlines of one loop. Raises ValueError for a time that is not finite.

    Nothing expires before `first`, a monotonic time; `inf` if no deadline is set.
    """

    __slots__ = ("_due", "_members", "first")

    def __init__(self) -> None:
        self._due: list[float] = []  # when buckets are due, in ascending order
        self._members: dict[float, set[Timed]] = {}
        self.first = inf

    def set(self, timed: Timed, deadline: float, now: float) -> None:
        """Set or move the deadline of `timed`."""
        _check(deadline, now)
        timed.deadline = deadline
        early = timed.bucket - deadline  # otherwise its bucket is due before the deadline, or soon enough after it
        if early > 0 and early > _width(deadline - now):
            self._leave(timed)
            self._enter(timed, now)

    def cancel(self, timed: Timed) -> None:
        """Forget `timed`; it can be set again."""
        timed.deadline = inf
        self._leave(timed)

    def delay(self, now: float) -> float | None:
        """Seconds until something may be due, a day at most; None when nothing is set."""
        _check(now)
        while self._due and not self._members[self._due[0]]:
            self._drop_first()
        return min(max(self.first - now, 0.0), _LONGEST_DELAY) if self._due else None

    def expire(self, now: float) -> None:
        """Expire all objects whose deadline is `now` or earlier."""
        _check(now)
        while self.first <= now:
            members = self._members[self._due[0]]
            if not members:
                self._drop_first()
                continue
            timed = members.pop()
            timed.bucket = inf
            if timed.deadline <= now:
                timed.deadline = inf
                timed.expire()
            elif isfinite(timed.deadline):
                self._enter(timed, now)

    def _enter(self, timed: Timed, now: float) -> None:
        width = _width(timed.deadline - now)
        # Rounding may give a time just before the deadline; a deadline too far away to be rounded stays as it is.
        due = max(ceil(timed.deadline / width) * width, timed.deadline)
        if due not in self._members:
            self._members[due] = set()
            insort(self._due, due)
            self.first = self._due[0]
        self._members[due].add(timed)
        timed.bucket = due

    def _leave(self, timed: Timed) -> None:
        # An empty bucket stays until it comes first: the next session with the same timeout will use it.
        if timed.bucket < inf:
            self._members[timed.bucket].discard(timed)
            timed.bucket = inf

    def _drop_first(self) -> None:
        del self._members[self._due.pop(0)]
        self.first = self._due[0] if self._due else inf


def _width(delay: float) -> float:
    """Width in seconds of the bucket for a delay in seconds, by which a deadline may be overrun."""
    if delay < 0.02:
        return 0.001
    if delay < 2.0:
        return 0.01
    if delay < 120.0:
        return 0.1
    return 5.0 if delay < 3600.0 else 60.0


def _check(*times: float) -> None:
    """Refuse infinities and NaN, which would never be due, or always."""
    for time in times:
        if not -inf < time < inf:
            raise ValueError("a time must be finite")


if accelerator is not None and not TYPE_CHECKING:
    Timed, Timers = accelerator.Timed, accelerator.Timers
