"""The session cache that all workers share, without a lock.

The table is set-associative: a session's id names two sets of slots, and the session is in one of them. A record is

    checksum, 8 bytes | length of the text, 2 | where the id was cut out of the text, 2 | text

and takes one slot. What is longer, a session with a client's certificate, goes on in the two sets after those.

OpenSSL's encoding of a session contains the id; it is cut out, because whoever looks the session up brings it along.
The checksum covers the id, the expiry and the record: a slot that was half written, by a process that was killed or
by two at once, is no session, and neither is one of another id with the same tag.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from mailworker.shm.slot_set import CELL_SIZE, LATEST, SET_SIZE, TAG_SIZE, SlotSet
from mailworker.shm.zone import Zone

LARGEST_SESSION = 8192  # bytes, nginx's limit as well

_PLACE = Struct("=III")
_HEADER = Struct("=8sHH")
_CHECKED = Struct("=IHHB")
_ID_NOT_FOUND = 0xFFFF
_TICKS = 8  # in a second: fine enough to tell the oldest, and 32 bits of them are 17 years since the machine's start


class _Place(NamedTuple):
    """Where a part of a record can be."""

    tag: bytes
    sets: tuple[SlotSet, SlotSet]

    def find(self) -> tuple[SlotSet, int] | None:
        for slots in self.sets:
            slot = slots.find(self.tag)
            if slot is not None:
                return slots, slot
        return None

    def take(self, now: int) -> tuple[SlotSet, int]:
        """The slot that has this tag already, or the one that the better offer names."""
        found = self.find()
        if found is not None:
            return found
        first, second = self.sets
        near = self.tag[0]
        here, there = first.offer(now, near), second.offer(now, near)
        return (first, here.slot) if here <= there else (second, there.slot)


class SessionTable:
    """A `SessionStore` (see `native.sessions`) in a zone.

    Tables over one zone, in any process, see each other's sessions; each gives its own timeout to those it stores.
    A session may be lost at any time, but what `get` returns was stored whole under that id.
    """

    __slots__ = ("_clock", "_memory", "_sets", "_timeout")

    def __init__(self, zone: Zone, timeout: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`timeout` is in seconds; `clock` counts seconds, alike in all processes, and is never set back."""
        self._memory = zone.body
        self._sets = len(zone.body) // SET_SIZE
        self._timeout = timeout
        self._clock = clock
        if self._sets < 2:
            raise ValueError(f"a zone of {zone.size} bytes is too small for sessions")

    def new(self, session_id: bytes, session: bytes) -> None:
        """Store a session in place of an earlier one of its id; one of more than LARGEST_SESSION bytes is not."""
        if len(session) > LARGEST_SESSION:
            return
        now = self._now()
        expiry = min(now + self._timeout * _TICKS, LATEST)
        record = _encode(session_id, session, expiry)
        starts = range(0, len(record), CELL_SIZE)
        for start, place in zip(starts, self._places(session_id), strict=False):
            slots, slot = place.take(now)
            slots.write(slot, place.tag, expiry, now, record[start : start + CELL_SIZE])

    def get(self, session_id: bytes) -> bytes | None:
        """The session stored last under that id, None if it is lost or its timeout has passed."""
        places = self._places(session_id)
        found = next(places).find()
        if found is None:
            return None
        slots, slot = found
        expiry, record = slots.read(slot)
        if expiry <= self._now():
            self.remove(session_id)
            return None
        whole = _with_the_rest(record, places)
        return None if whole is None else _decode(session_id, whole, expiry)

    def remove(self, session_id: bytes) -> None:
        """Overwrite a session, so that its secrets are gone from memory too."""
        for place in self._places(session_id):
            found = place.find()
            if found is None:
                return
            slots, slot = found
            slots.wipe(slot)

    def _now(self) -> int:
        """Ticks, rounded up: nothing outlives its timeout, and no time is that of an empty slot."""
        return min(int(self._clock() * _TICKS) + 1, LATEST)

    def _places(self, session_id: bytes) -> Iterator[_Place]:
        """The place of the first part of a record, of the second, and so on without end."""
        first, apart, number = _PLACE.unpack(blake2b(session_id, digest_size=_PLACE.size).digest())
        apart = 1 + apart % (self._sets - 1)  # so that there are always two sets
        while True:
            tag = 1 + number % 0xFFFFFFFF  # never that of an empty slot
            yield _Place(tag.to_bytes(TAG_SIZE, "little"), (self._set(first), self._set(first + apart)))
            first, number = first + 1, number + 1

    def _set(self, number: int) -> SlotSet:
        start = number % self._sets * SET_SIZE
        return SlotSet(self._memory[start : start + SET_SIZE])


def _with_the_rest(record: bytes, places: Iterator[_Place]) -> bytes | None:
    """Put a record together from its first cell on; None where a part of it is missing."""
    _, length, _ = _HEADER.unpack_from(record)
    while len(record) < _HEADER.size + length:
        found = next(places).find()
        if found is None:
            return None
        slots, slot = found
        record += slots.read(slot)[1]
    return record


def _checksum(session_id: bytes, expiry: int, cut: int, text: bytes) -> bytes:
    facts = _CHECKED.pack(expiry, len(text), cut, len(session_id))
    return blake2b(facts + session_id + text, digest_size=8).digest()


def _encode(session_id: bytes, session: bytes, expiry: int) -> bytes:
    cut = session.find(session_id)
    if cut < 0:
        cut, text = _ID_NOT_FOUND, session
    else:
        text = session[:cut] + session[cut + len(session_id) :]
    return _HEADER.pack(_checksum(session_id, expiry, cut, text), len(text), cut) + text


def _decode(session_id: bytes, record: bytes, expiry: int) -> bytes | None:
    """The session of a record, None where it is not whole or not of that id and expiry."""
    checksum, length, cut = _HEADER.unpack_from(record)
    text = record[_HEADER.size : _HEADER.size + length]
    if checksum != _checksum(session_id, expiry, cut, text):
        return None
    return text if cut == _ID_NOT_FOUND else text[:cut] + session_id + text[cut:]
