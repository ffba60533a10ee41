"""The delay of an attempt after failed ones (Dovecot's penalty)."""

from __future__ import annotations

from math import ceil, log2
from typing import Final

_LEVELS: Final = 4  # Dovecot's AUTH_PENALTY_MAX_PENALTY


class Penalty:
    """A delay that doubles with each failure, from `first` seconds up to `most`, and ends with time."""

    __slots__ = ("_first", "_most", "_top")

    def __init__(self, first: float, most: float) -> None:
        """Dovecot has 2 and 15 seconds."""
        self._first = first
        self._most = most
        self._top = max(_LEVELS, ceil(log2(most / first))) if most < first * 2**30 else 30

    def level(self, level: int, age: float) -> int:
        """The present value of a level that was set `age` seconds ago.

        It is 0 after the longest delay: auth_penalty_anvil_callback lowers it step by step, by delays that get shorter.
        """
        return min(level, self._top) if age < self.seconds(self._top) else 0

    def seconds(self, level: int) -> float:
        """The delay of an attempt at that level; callers do not delay at level 0, whatever this gives."""
        return min(self._most, self._first * float(2**level))

    def raised(self, level: int) -> int:
        """The level after one more failure."""
        return min(level + 1, self._top)
