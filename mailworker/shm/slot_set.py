"""A set of slots in shared memory: where a session that belongs here can be."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

SLOTS = 32  # enough that two sets to choose from fill evenly, few enough to look at all of them in a microsecond
CELL_SIZE = 152  # bytes: what `session_table` makes of a session of OpenSSL 3 (146 to 158 bytes), and some to spare
TAG_SIZE = 4  # bytes
LATEST = 0xFFFFFFFF  # the last time that a slot can hold
EMPTY_TAG = bytes(TAG_SIZE)

# One array for each property, so that all slots are searched by one call that runs in C.
_TIMES = Struct(f"={SLOTS}I")
_TIME = Struct("=I")
_EXPIRIES_START = SLOTS * TAG_SIZE
_STORED_START = _EXPIRIES_START + _TIMES.size
_CELLS_START = _STORED_START + _TIMES.size
SET_SIZE = _CELLS_START + SLOTS * CELL_SIZE

_EMPTY, _EXPIRED, _IN_USE = range(3)


class Offer(NamedTuple):
    """A slot that could take something new. The lesser of two offers is the better one."""

    kind: int
    value: int
    slot: int


class SlotSet:
    """Slots with a tag, an expiry, a time of storing, and a cell of CELL_SIZE bytes.

    Nothing here is atomic: other processes may write at the same time, or die in the middle of it. Whoever uses a cell
    must be able to tell whether it is whole and what was looked for.
    """

    __slots__ = ("_memory",)

    def __init__(self, memory: memoryview) -> None:
        """`memory` has SET_SIZE bytes; zeros are empty slots."""
        self._memory = memory

    def find(self, tag: bytes) -> int | None:
        """The slot with that tag, which is not EMPTY_TAG."""
        tags = bytes(self._memory[:_EXPIRIES_START])
        position = tags.find(tag)
        while position >= 0 and position % TAG_SIZE:
            position = tags.find(tag, position + 1)
        return position // TAG_SIZE if position >= 0 else None

    def offer(self, now: int, near: int) -> Offer:
        """The slot to give away: an empty one, the longest expired, or else the oldest.

        The search for an empty one begins at `near`, any number: two processes that store at the same time should
        not choose the same one.

        Of two sets that have empty slots, the one with more of them makes the better offer.
        """
        expiries = _TIMES.unpack_from(self._memory, _EXPIRIES_START)
        earliest = min(expiries)
        if earliest == 0:
            start = near % SLOTS
            slot = expiries.index(0, start if 0 in expiries[start:] else 0)
            return Offer(_EMPTY, -expiries.count(0), slot)
        if earliest <= now:
            return Offer(_EXPIRED, earliest, expiries.index(earliest))
        stored = _TIMES.unpack_from(self._memory, _STORED_START)
        oldest = min(stored)
        return Offer(_IN_USE, oldest, stored.index(oldest))

    def read(self, slot: int) -> tuple[int, bytes]:
        """A slot's expiry and its cell."""
        start = _CELLS_START + slot * CELL_SIZE
        (expiry,) = _TIME.unpack_from(self._memory, _EXPIRIES_START + slot * _TIME.size)
        return expiry, bytes(self._memory[start : start + CELL_SIZE])

    def write(self, slot: int, tag: bytes, expiry: int, stored: int, cell: bytes) -> None:
        """Fill a slot; times are from 1 to LATEST, and `cell` may be shorter than its slot."""
        start = _CELLS_START + slot * CELL_SIZE
        self._memory[start : start + CELL_SIZE] = cell.ljust(CELL_SIZE, b"\0")
        _TIME.pack_into(self._memory, _EXPIRIES_START + slot * _TIME.size, expiry)
        _TIME.pack_into(self._memory, _STORED_START + slot * _TIME.size, stored)
        self._memory[slot * TAG_SIZE : (slot + 1) * TAG_SIZE] = tag

    def wipe(self, slot: int) -> None:
        """Make a slot empty and overwrite what it held."""
        self.write(slot, EMPTY_TAG, 0, 0, b"")
