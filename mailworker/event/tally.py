"""Counting in words of 64 bits that other processes read; native/core/tally.c has it in C."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Protocol

from mailworker.native.core import accelerator

__all__ = ["Tally"]

_MICROSECONDS: Final = 1_000_000
_WRAP: Final = (1 << 64) - 1


class Connection(Protocol):
    """What is asked of one whose bytes are counted."""

    @property
    def received(self) -> int: ...
    @property
    def sent(self) -> int: ...


class Tally:
    """Counts in a row of words, of which it is the only writer; each is written in one step, so nobody reads a half.

    Raises IndexError for a place that is not there; a word that is full begins anew.
    """

    __slots__ = ("_words",)

    def __init__(self, row: memoryview, /) -> None:
        """`row` has the format "Q"."""
        self._words = row

    def add(self, place: int, /) -> None:
        """One more."""
        self._gain(place, 1)

    def gain(self, place: int, /, *amounts: int) -> None:
        """Add these to as many words from `place` on."""
        for index, amount in enumerate(amounts):
            self._gain(place + index, amount)

    def flow(self, place: int, /, *connections: Connection | None) -> None:
        """Add what each has received, and what it has sent, to two words, from `place` on; None has moved nothing."""
        for index, connection in enumerate(connections):
            if connection is not None:
                self.gain(place + 2 * index, connection.received, connection.sent)

    def observe(self, place: int, bounds: tuple[float, ...], seconds: float, /, *also: int) -> None:
        """Sort a time into a histogram: buckets from `place` on, one beyond the last of `bounds`, and the sum.

        Words at `also` get one more.

        A bucket holds what is not above its bound; the sum is in microseconds. What is less than 0, or no time, counts
        as 0.
        """
        seconds = max(seconds, 0.0) if seconds < 1e12 else 0.0
        self._gain(place + bisect_left(bounds, seconds), 1)
        self._gain(place + len(bounds) + 1, int(seconds * _MICROSECONDS))
        for other in also:
            self._gain(other, 1)

    def _gain(self, place: int, amount: int) -> None:
        if place < 0:
            raise IndexError(place)
        self._words[place] = (self._words[place] + amount) & _WRAP


if accelerator is not None and not TYPE_CHECKING:
    Tally = accelerator.Tally
