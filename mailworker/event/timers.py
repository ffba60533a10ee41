"""Deadlines of many sessions, cheap to set, to move and to drop.

Deadlines that fall due together share a bucket, and buckets are wider the further away they are, so that ten
thousand sessions with a timeout of 24 hours need a handful of them. Moving a deadline further away touches
nothing: the bucket that comes too early finds out and files its member again. Nothing ever expires early.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import ceil, inf

# Seconds: selectors count milliseconds in 31 bits, which a timeout of a month exceeds.
_LONGEST_DELAY = 24 * 3600.0


def _width(delay: float) -> float:
    """Width in seconds of the bucket for a delay in seconds: what a deadline may be overrun by."""
    if delay < 2.0:
        return 0.01
    if delay < 120.0:
        return 0.1
    return 5.0 if delay < 3600.0 else 60.0


class Timed:
    """Something with a deadline. `deadline` is in seconds of the monotonic clock, `inf` for none."""

    __slots__ = ("bucket", "deadline")

    def __init__(self) -> None:
        self.deadline: float = inf
        self.bucket: float = inf

    def expire(self) -> None:
        """Called once when the deadline has passed."""
        raise NotImplementedError


class Timers:
    """All deadlines of one loop. Before `first`, `inf` for never, there is nothing to expire."""

    __slots__ = ("_buckets", "_due", "first")

    def __init__(self) -> None:
        self._buckets: dict[float, dict[Timed, None]] = {}  # a dict takes half the memory of a set
        self._due: list[float] = []
        self.first = inf

    def set(self, timed: Timed, deadline: float, now: float) -> None:
        """Expire `timed` at `deadline` instead of whenever it would have."""
        timed.deadline = deadline
        # Else its bucket comes before, or soon enough.
        if timed.bucket > deadline and timed.bucket - deadline > _width(deadline - now):
            self._leave(timed)
            self._enter(timed, now)

    def cancel(self, timed: Timed) -> None:
        """Forget `timed`; it can be set again."""
        timed.deadline = inf
        self._leave(timed)

    def delay(self, now: float) -> float | None:
        """Seconds until something may be due, a day at most; None when nothing is set."""
        due = self._due
        while due:
            if self._buckets[due[0]]:
                delay = due[0] - now
                return 0.0 if delay < 0.0 else delay if delay < _LONGEST_DELAY else _LONGEST_DELAY
            self._drop_first()
        return None

    def expire(self, now: float) -> None:
        """Expire all whose deadline is `now` or earlier."""
        while self._due and self._due[0] <= now:
            members = self._buckets[self._due[0]]
            if members:
                timed = members.popitem()[0]
                timed.bucket = inf
                self._expire_or_wait_on(timed, now)
            else:
                self._drop_first()

    def _expire_or_wait_on(self, timed: Timed, now: float) -> None:
        if timed.deadline <= now:
            timed.deadline = inf
            timed.expire()
        elif timed.deadline < inf:
            self._enter(timed, now)

    def _enter(self, timed: Timed, now: float) -> None:
        width = _width(timed.deadline - now)
        # Rounding may put the product a little below the deadline.
        timed.bucket = bucket = max(ceil(timed.deadline / width) * width, timed.deadline)
        members = self._buckets.get(bucket)
        if members is None:
            self._buckets[bucket] = {timed: None}
            heappush(self._due, bucket)
            self.first = self._due[0]
        else:
            members[timed] = None

    def _drop_first(self) -> None:
        del self._buckets[heappop(self._due)]
        self.first = self._due[0] if self._due else inf

    def _leave(self, timed: Timed) -> None:
        # An emptied bucket stays until it comes first: the next session with the same timeout will want it.
        if timed.bucket != inf:
            self._buckets[timed.bucket].pop(timed, None)
            timed.bucket = inf
