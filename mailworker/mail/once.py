"""Messages that are logged only once."""

from __future__ import annotations

from collections.abc import Hashable


class Once:
    """Remembers which messages were logged, up to a limit; beyond it, the oldest are forgotten and logged again."""

    __slots__ = ("_limit", "_told")

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._told: dict[Hashable, None] = {}

    def is_new(self, what: Hashable) -> bool:
        """Whether `what` has not been logged yet; from now on it counts as logged."""
        if what in self._told:
            return False
        if len(self._told) >= self._limit:
            del self._told[next(iter(self._told))]
        self._told[what] = None
        return True
