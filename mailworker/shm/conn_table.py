"""Counts of connections by key; native/shm/conns.c has it in C, for many processes that count at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mailworker.native.core import accelerator
from mailworker.shm.siphash import siphash

__all__ = ["FULL", "OVER", "ConnTable"]

SECRET_SIZE: Final = 16  # bytes
WORD: Final = 8
OVER: Final = -1
"""The result if the key has as many connections as it may have."""
FULL: Final = -2
"""The result if there is no room for another key, or for another connection."""

_WAYS: Final = 8
_COUNT_BITS: Final = 20
_COUNT_MASK: Final = (1 << _COUNT_BITS) - 1
_WORD_MASK: Final = (1 << 64) - 1
_SPREAD: Final = 0x9E3779B97F4A7C15


class _Counted:
    """What is in a table, for both implementations."""

    __slots__ = ()

    _counts: memoryview
    _secret: bytes
    _sets: int

    def count(self, key: bytes, /) -> int:
        """How many connections a key has."""
        hashed = self._hash(key)
        return self._sum(self._places(hashed), _tag(hashed))

    def usage(self) -> tuple[int, int, int]:
        """How many keys there are, how many connections they have, and for how many keys there is room."""
        counts = [word & _COUNT_MASK for word in self._counts[: self._sets * _WAYS]]
        return sum(count > 0 for count in counts), sum(counts), len(counts)

    def _hash(self, key: bytes) -> int:
        return siphash(self._secret, key) or 1

    def _places(self, hashed: int) -> list[int]:
        home = hashed % self._sets
        away = ((hashed * _SPREAD & _WORD_MASK) >> 32) % (self._sets - 1)
        sets = home, (home + 1 + away) % self._sets
        return [number * _WAYS + way for number in sets for way in range(_WAYS)]

    def _sum(self, places: list[int], tag: int) -> int:
        words = (self._counts[place] for place in places)
        return sum(word & _COUNT_MASK for word in words if word & ~_COUNT_MASK == tag)


class ConnTable(_Counted):
    """Connection counts in shared memory. A key's count takes 8 bytes, and a connection 8 bytes of the journal.

    The connections of this process stand in its `journal`. That is written before a connection is counted, and cleared
    after it is uncounted, so the master can uncount the connections of a process that was killed. If it was killed
    within a step, a count may be too low by one until it is 0 again; it is never too high.

    The memory may hold anything. This table, unlike the one in C, must be its only writer.
    """

    __slots__ = ("_counts", "_free", "_held", "_secret", "_sets", "_used")

    def __init__(self, memory: Any, secret: bytes, journal: Any, /) -> None:
        """Raises ValueError for invalid arguments; `secret` has SECRET_SIZE bytes."""
        self._counts = memoryview(memory).cast("B").cast("Q")
        self._held = memoryview(journal).cast("B").cast("Q")
        self._secret = secret
        self._sets = len(self._counts) // _WAYS
        if len(secret) != SECRET_SIZE or self._sets < 2:
            raise ValueError("no memory that will do, or no secret")
        self._used = 0
        self._free: list[int] = []

    def hold(self, key: bytes, most: int, /) -> int:
        """Count a connection if the key has fewer than `most`: returns its place in the journal, or OVER or FULL."""
        hashed = self._hash(key)
        if self._free:
            place = self._free.pop()
        elif self._used < len(self._held):
            place = self._used
            self._used += 1
        else:
            return FULL
        self._held[place] = hashed
        result = self._add(hashed, most)
        if result < 0:
            self._held[place] = 0
            self._free.append(place)
            return result
        return place

    def let_go(self, place: int, /) -> None:
        """Uncount the connection at `place` of the journal. Raises IndexError if there is none."""
        hashed = self._held[place] if 0 <= place < self._used else 0
        if not hashed:
            raise IndexError("nothing is held there")
        self._release(hashed)
        self._held[place] = 0
        self._free.append(place)

    def let_all_go(self, journal: Any, /) -> int:
        """Uncount all connections in the journal of another process; returns how many."""
        words, count = memoryview(journal).cast("B").cast("Q"), 0
        for place, hashed in enumerate(words):
            if hashed:
                self._release(hashed)
                words[place] = 0
                count += 1
        return count

    def _find(self, places: list[int], tag: int) -> int | None:
        """The place of the word with the tag, else of a free word; None if there is neither."""
        vacant = None
        for place in places:
            word = self._counts[place]
            if not word & _COUNT_MASK:
                vacant = place if vacant is None else vacant
            elif word & ~_COUNT_MASK == tag:
                return place
        return vacant

    def _add(self, hashed: int, most: int) -> int:
        places, tag = self._places(hashed), _tag(hashed)
        if self._sum(places, tag) >= most:
            return OVER
        place = self._find(places, tag)
        if place is None:
            return FULL
        word = self._counts[place]
        self._counts[place] = word + 1 if word & _COUNT_MASK else tag | 1
        return 0

    def _release(self, hashed: int) -> None:
        place = self._find(self._places(hashed), _tag(hashed))
        if place is not None and (word := self._counts[place]) & _COUNT_MASK:  # else the place is vacant
            self._counts[place] = word - 1 if word & _COUNT_MASK > 1 else 0


def _tag(hashed: int) -> int:
    return hashed & ~_COUNT_MASK or _COUNT_MASK + 1


if accelerator is not None and not TYPE_CHECKING:

    class ConnTable(accelerator.ConnTable, _Counted):
        """A table in C."""

        __slots__ = ()

        @property
        def _counts(self):
            return memoryview(self._memory).cast("B").cast("Q")

        @property
        def _sets(self):
            return len(self._counts) // _WAYS
