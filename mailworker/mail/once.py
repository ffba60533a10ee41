"""Messages that are logged only once."""

from __future__ import annotations

from collections.abc import Hashable


class Once:
    """Remembers which messages were logged, up to a limit; beyond it, the oldest are forgotten and logged again."""

    __slots__ = ("_limit", "_told")

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._told: dict[Hashable, None] | None = None  # until something is logged

    def is_new(self, what: Hashable) -> bool:
        """Whether `what` has not been logged yet; from now on it counts as logged."""
        told = self._told
        if told is None:
            told = self._told = {}
        if what in told:
            return False
        if len(told) >= self._limit:
            del told[next(iter(told))]
        told[what] = None
        return True
