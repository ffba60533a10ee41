"""New ticket keys in time."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.process.cycle import Cycle


class TicketRotation:
    """Rotates the ticket keys that a cycle's workers share; this process is their only writer.

    `after(seconds, action)` arranges for a call later.
    """

    __slots__ = ("_after", "_cycle")

    def __init__(self, after: Callable[[float, Callable[[], None]], None]) -> None:
        self._after = after
        self._cycle: Cycle | None = None

    def follow(self, cycle: Cycle) -> None:
        """Care for this cycle from now on, and for the one before no more."""
        self._cycle = cycle
        self._rotate(cycle)

    def _rotate(self, cycle: Cycle) -> None:
        if cycle is not self._cycle:
            return  # replaced while this waited
        pause = cycle.rotate_ticket_keys()
        if pause is not None:
            self._after(pause, lambda: self._rotate(cycle))
