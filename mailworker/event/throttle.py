"""A rate limit for one side of a relay: a leaky bucket."""

from __future__ import annotations

from typing import Final

from mailworker.event.loop import Loop
from mailworker.event.relay import LimitedSide
from mailworker.event.timers import Timed

# The bytes of so many seconds may be read at once at the beginning and after each wait, and are kept for a side that
# was silent for a while or was called late.
_STEP: Final = 0.0625
_KEPT: Final = 0.25


class Throttle(Timed):
    """Allows `side` to read `rate` bytes a second, and the first `after` bytes at once."""

    __slots__ = ("_credit", "_loop", "_rate", "_side", "_since")

    def __init__(self, loop: Loop, side: LimitedSide, rate: int, after: int) -> None:
        super().__init__()
        self._side = side
        self._credit = after + max(rate * _STEP, 1.0)
        self._loop = loop
        self._rate = rate
        self._since = loop.now

    def allow(self) -> int:
        """How many bytes may be read now; after 0 the side's `resume` will be called."""
        loop, rate = self._loop, self._rate
        now = loop.now
        wanted = max(rate * _STEP, 1.0)
        most = max(rate * _KEPT, 2.0)  # at a low rate, a late call loses no byte
        self._credit = max(self._credit, min(self._credit + (now - self._since) * rate, most))
        self._since = now
        if self._credit < wanted:  # tiny pieces would take too many calls
            loop.set_deadline(self, now + (wanted - self._credit) / rate)
            return 0
        allowed = int(self._credit)
        self._credit -= allowed
        return allowed

    def expire(self) -> None:
        """The wait is over."""
        allowed = self.allow()
        if allowed:
            self._side.resume(allowed)

    def stop(self) -> None:
        """Stop waiting: the relay has ended."""
        self._loop.cancel_deadline(self)
