"""Rotation of ticket keys."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.event.timers import Timed
from mailworker.process.cycle import Cycle


class TicketRotation(Timed):
    """Rotates the ticket keys that a cycle's workers share; this process is their only writer.

    `expire_after(timed, seconds)` sets the deadline of `timed`, and replaces its former one, as a timer of its own for
    each cycle would keep replaced cycles in memory.
    """

    __slots__ = ("_cycle", "_expire_after")

    def __init__(self, expire_after: Callable[[Timed, float], None]) -> None:
        super().__init__()
        self._expire_after = expire_after
        self._cycle: Cycle | None = None

    def follow(self, cycle: Cycle) -> None:
        """Rotate the keys of this cycle, and no longer those of the previous one."""
        self._cycle = cycle
        self.expire()

    def expire(self) -> None:
        """Rotate the keys, if that is due."""
        pause = None if self._cycle is None else self._cycle.rotate_ticket_keys()
        if pause is not None:
            self._expire_after(self, pause)
