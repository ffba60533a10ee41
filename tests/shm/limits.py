"""Limits of both implementations, and how nginx counts."""

from __future__ import annotations

import mmap
from selectors import SelectSelector

from mailworker.event.loop import LoopState
from mailworker.event.poller import SelectorPoller
from mailworker.shm import limit_table
from mailworker.shm.limit_table import ENTRY_SIZE, HEADER_SIZE, SET_SIZE, SLOTS, LimitTable
from tests.support.implementations import without_c

IMPLEMENTATIONS: dict[str, type[LimitTable]] = {
    "C": LimitTable,
    "Python": without_c(limit_table).LimitTable,
}
SECRET = bytes(range(32))
SIX_A_MINUTE = (6000 // 60, 1000)
SIZE = HEADER_SIZE + 42 * SET_SIZE


def shared(size: int = SIZE) -> mmap.mmap:
    return mmap.mmap(-1, size)


def clock_at(now: float) -> LoopState:
    """The clock of attempts, which is a loop's."""
    return LoopState(SelectorPoller(SelectSelector()), lambda: now, print)


class NginxLimit:
    """limit_req with one zone (ngx_http_limit_req_lookup, ngx_http_limit_req_account)."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._excess: int | None = None
        self._last = 0

    def take(self, now: int, burst: int) -> int:
        """As `LimitTable.take`; times are milliseconds."""
        if self._excess is None:
            self._excess, self._last = 0, now
            return 0
        age = now - self._last
        age = 1 if age < -60000 else max(age, 0)
        excess = max(self._excess - self._rate * age // 1000 + 1000, 0)
        if excess > burst:
            return -1 - excess
        self._excess = excess
        if age:
            self._last = now
        return excess


__all__ = ["ENTRY_SIZE", "IMPLEMENTATIONS", "SECRET", "SIX_A_MINUTE", "SIZE", "SLOTS", "NginxLimit", "shared"]
