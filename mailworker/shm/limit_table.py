"""Requests, failures and bans by key; native/shm/limits.c has it in C, for many concurrent writers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mailworker.native.core import accelerator
from mailworker.shm.siphash import siphash

__all__ = ["LimitTable"]

SECRET_SIZE: Final = 32  # bytes
HEADER_SIZE: Final = 64  # bytes, of which the first word counts evicted entries
ENTRY_SIZE: Final = 96  # bytes
SLOTS: Final = 8
SET_SIZE: Final = 8 + SLOTS * ENTRY_SIZE

EXCESS_MAX: Final = 0x7FFFFE
"""The greatest excess, in thousandths of a request."""

TRUSTED: Final = 30 * 86400
"""Seconds for which a client that has logged in is trusted; see `mailworker.shm.attempts`."""

_NO_EXCESS: Final = EXCESS_MAX + 1
_ENTRY_WORDS, _SET_WORDS, _HEADER_WORDS = ENTRY_SIZE // 8, SET_SIZE // 8, HEADER_SIZE // 8
_TAG, _RATE, _BAN, _PENALTY, _SEEN, _TEXT = range(6)
_TEXT_SIZE: Final = ENTRY_SIZE - 8 * _TEXT
_ROOM: Final = _TEXT_SIZE - 1
_LONGER: Final = 0xFF
_GENERATION, _CLAIMED, _HASH_SHIFT = 0xF, 0x10, 5
_ONE_HASH: Final = 1 << _HASH_SHIFT
_TIME: Final = (1 << 37) - 1
_UNTIL: Final = (1 << 40) - 1
_PENDING_SHIFT, _PENDING = 44, (1 << 20) - 1
_REQUEST: Final = 1000
_BACKWARDS: Final = 60_000
_PENALTY_LASTS: Final = 600_000
_SPREAD: Final = 0x9E3779B97F4A7C15
_WORD: Final = (1 << 64) - 1
_MARK: Final = 0xFFFF


class _Listing:
    """What is in a table, for both implementations."""

    __slots__ = ()

    _memory: Any
    _secret: bytes

    def usage(self, now: float, /) -> tuple[int, int, int]:
        """The numbers of entries, of bans among them, and of entries that fit."""
        lefts = [left for _, left in self._entries(now)]
        return len(lefts), len(lefts) - lefts.count(0), _sets(self._memory) * SLOTS

    def bans(self, now: float, most: int, /) -> list[tuple[bytes, bool, float]]:
        """At most `most` banned keys; for each, whether it is complete, and the seconds that are left."""
        found: list[tuple[bytes, bool, float]] = []
        words = _words(self._memory)
        for place, left in self._entries(now):
            if left and len(found) < most:
                entry = _Entry(words, place)
                length, text = entry.text[0], entry.text[1:]
                whole = length <= _ROOM and _hash(self._secret, text[:length]) == entry.hash
                found.append((text[:length] if whole else text, whole, left / 1000))
        return found

    def _entries(self, now: float) -> Iterator[tuple[int, int]]:
        """The places of entries, each with the milliseconds of its ban that are left; as fast as Python can."""
        words, time = _words(self._memory), _milliseconds(now)
        words = words[: _HEADER_WORDS + _sets(self._memory) * _SET_WORDS]
        for slot in range(SLOTS):
            first = _HEADER_WORDS + 1 + slot * _ENTRY_WORDS
            tags, bans = words[first::_SET_WORDS].tolist(), words[first + _BAN :: _SET_WORDS].tolist()
            for place, tag, ban in zip(range(first, len(words), _SET_WORDS), tags, bans, strict=True):
                if tag >= _ONE_HASH and not tag & _CLAIMED:
                    yield place, max((ban >> 4 & _UNTIL) - time, 0) if not (tag ^ ban) & _GENERATION else 0


class LimitTable(_Listing):
    """Entries for keys, in shared memory; times are seconds of the monotonic clock.

    An excess is in thousandths of a request, as in nginx's limit_req, and falls by `gain / period` in a millisecond.
    An entry takes 97 bytes. Without room, an entry is evicted: an idle one, else the trust that was not renewed for
    longest, else the entry that was unused for longest, and banned keys last. `dropped` counts evicted entries that
    were not idle.

    The memory may hold anything. This table, unlike the one in C, must be its only writer; layout and meaning are the
    same, see native/shm/limit_table.c.
    """

    __slots__ = ("_gain", "_memory", "_period", "_secret", "_sets", "_words", "dropped")

    def __init__(self, memory: Any, secret: bytes, pace: tuple[int, int], /) -> None:
        """`memory` is zeros, or that of another table. `secret` has SECRET_SIZE bytes. `pace` is gain and period.

        Raises ValueError for invalid arguments.
        """
        self._gain, self._period = pace
        self._memory = memory
        self._sets = _sets(memory)
        if len(secret) != SECRET_SIZE or self._sets < 2 or not self._gain or not self._period:
            raise ValueError("no memory that will do, no secret, or no rate")
        self._secret = secret
        self._words = _words(memory)
        self.dropped = 0

    def take(self, key: bytes, now: float, burst: int, /) -> int:
        """Add a request; returns the new excess. If that is above `burst`, add nothing, and return -1 - excess."""
        entry, time = self._entry(key, now), _milliseconds(now)
        excess, last = entry.excess, entry.last
        if excess == _NO_EXCESS:
            excess, last = 0, time
        else:
            age = _between(last, time)
            excess = self._lessened(excess + _REQUEST, age)
            last = time if age > 0 or age < -_BACKWARDS else last
        if excess > min(burst, EXCESS_MAX):
            return -1 - excess
        entry.set_rate(excess, last)
        entry.add_pending(1, anew=not excess)
        return excess

    def give_back(self, key: bytes, /) -> None:
        """Remove a request that was added."""
        self.settle(key)
        entry = self._find(key)
        if entry is not None and entry.excess != _NO_EXCESS:
            entry.set_rate(*self._given_back(entry.excess, entry.last))

    def settle(self, key: bytes, /) -> None:
        """Count a request that was added for good."""
        entry = self._find(key)
        if entry is not None:
            entry.add_pending(-1)

    def pending(self, key: bytes, /) -> int:
        """The number of requests that were added and neither given back nor settled.

        A request of a killed process remains pending until the key is idle.
        """
        entry = self._find(key)
        return 0 if entry is None else entry.pending

    def repeats(self, key: bytes, what: bytes, /) -> bool:
        """Whether `what` is one of the last four of this key; if not, add it. Only 16 bits of a hash are kept."""
        entry = self._find(key)
        if entry is None:
            return False
        low = int.from_bytes(self._secret[16:24], "little") ^ _hash(self._secret, key)
        mark = siphash(low.to_bytes(8, "little") + self._secret[24:], what) & _MARK or 1
        seen = entry.seen
        if mark in [seen >> shift & _MARK for shift in (0, 16, 32, 48)]:
            return True
        entry.seen = (seen << 16 | mark) & _WORD
        return False

    def ban(self, key: bytes, now: float, seconds: float, /) -> bool:
        """Ban a key; 0 seconds lift the ban. Returns whether it has an entry."""
        entry = self._entry(key, now) if seconds > 0 else self._find(key)
        if entry is not None:
            entry.ban_until(_milliseconds(now) + _milliseconds(seconds) if seconds > 0 else 0)
        return entry is not None

    def banned(self, key: bytes, now: float, /) -> float:
        """The seconds of the key's ban that are left, 0.0 without one."""
        entry = self._find(key)
        return 0.0 if entry is None else entry.left(_milliseconds(now)) / 1000

    def penalty(self, key: bytes, now: float, /) -> tuple[int, float]:
        """The level of the key's penalty, and its age in seconds."""
        entry = self._find(key)
        level, when = (0, 0) if entry is None else entry.penalty
        return level, 0.0 if entry is None else _age(when, _milliseconds(now)) / 1000

    def punish(self, key: bytes, now: float, level: int, /) -> None:
        """Set the level of the key's penalty, up to 255."""
        entry = self._entry(key, now) if level else self._find(key)
        if entry is not None:
            entry.punish(min(level, 255), _milliseconds(now))

    def adopt(self, memory: Any, now: float, /) -> None:
        """Copy the entries of another table with the same secret, except idle ones."""
        if len(memory) < HEADER_SIZE + SET_SIZE:
            return
        words = _words(memory)
        for other in (entry for number in range(_sets(memory)) for entry in _of_set(words, number)):
            if other.hash and self._bid(other, now) < _Bid.IDLE:
                entry = self._make(other.hash, b"", now)
                entry.set_rate(other.excess, other.last)
                entry.ban_until(other.until)
                entry.punish(*other.penalty)
                entry.seen, entry.text = other.seen, other.text

    def _find(self, key: bytes) -> _Entry | None:
        wanted = _hash(self._secret, key)
        return next((entry for entry in self._candidates(wanted) if entry.hash == wanted), None)

    def _entry(self, key: bytes, now: float) -> _Entry:
        return self._find(key) or self._make(_hash(self._secret, key), key, now)

    def _candidates(self, wanted: int) -> list[_Entry]:
        home = wanted % self._sets
        away = ((wanted * _SPREAD & _WORD) >> 32) % (self._sets - 1)
        return [*_of_set(self._words, home), *_of_set(self._words, (home + 1 + away) % self._sets)]

    def _make(self, wanted: int, key: bytes, now: float) -> _Entry:
        candidates = self._candidates(wanted)
        bids = [self._bid(entry, now) for entry in candidates]
        free = [bids[:SLOTS].count(_Bid.FREE), bids[SLOTS:].count(_Bid.FREE)]
        best = max(range(2 * SLOTS), key=lambda place: (bids[place], free[place // SLOTS], -place))
        if bids[best] < _Bid.IDLE:
            self.dropped += 1
            self._words[0] = (self._words[0] + 1) & _WORD
        entry = candidates[best]
        entry.begin(wanted, _milliseconds(now))
        entry.text = bytes([len(key) if len(key) <= _ROOM else _LONGER]) + key[:_ROOM].ljust(_ROOM, b"\0")
        return entry

    def _bid(self, entry: _Entry, now: float) -> int:
        time = _milliseconds(now)
        age, left = _age(entry.last, time), entry.left(time)
        level, when = entry.penalty
        if not entry.hash:
            return _Bid.FREE
        if left:
            return _Bid.BANNED + _TIME - min(left, _TIME)
        if entry.excess != _NO_EXCESS and age != _TIME and self._lessened(entry.excess, age):
            return _Bid.COUNTS + age
        since = _age(when, time)
        if level and since < 1000 * TRUSTED and entry.is_trust:
            return _Bid.TRUST + since
        return (_Bid.IDLE if not level or since > _PENALTY_LASTS else _Bid.COUNTS) + age

    def _lessened(self, excess: int, age: int) -> int:
        age = 1 if age < -_BACKWARDS else max(age, 0)
        return max(excess - self._gain * age // self._period, 0)

    def _given_back(self, excess: int, last: int) -> tuple[int, int]:
        """The excess and time with one request less; instead of an excess below 0, the time is set back."""
        if excess >= _REQUEST:
            return excess - _REQUEST, last
        return 0, last + (_REQUEST - excess) * self._period // -self._gain


class _Bid:
    """Ranks of entries for eviction: the highest goes first."""

    BANNED = 1 << 48
    COUNTS = 2 << 48
    TRUST = 3 << 48
    IDLE = 4 << 48
    FREE = 5 << 48


def _of_set(words: memoryview, number: int) -> Iterator[_Entry]:
    first = _HEADER_WORDS + number * _SET_WORDS + 1
    return (_Entry(words, first + slot * _ENTRY_WORDS) for slot in range(SLOTS))


def _sets(memory: Any) -> int:
    return (len(memory) - HEADER_SIZE) // SET_SIZE


def _words(memory: Any) -> memoryview:
    return memoryview(memory)[: len(memory) // 8 * 8].cast("Q")


def _hash(secret: bytes, key: bytes) -> int:
    return siphash(secret[:16], key) >> _HASH_SHIFT or 1


@dataclass(slots=True)
class _Entry:
    """The words from `start` on; a word whose generation is not that of the tag is ignored."""

    words: memoryview
    start: int

    @property
    def hash(self) -> int:
        """The key's hash, 0 if there is no entry."""
        tag = self.words[self.start]
        return 0 if tag & _CLAIMED else tag >> _HASH_SHIFT

    @property
    def excess(self) -> int:
        return self._field(_RATE, 4, 23, _NO_EXCESS)

    @property
    def last(self) -> int:
        return self._field(_RATE, 27, 37)

    @property
    def until(self) -> int:
        return self._field(_BAN, 4, 40)

    def left(self, time: int) -> int:
        """The milliseconds of the ban that are left."""
        return max(self.until - time, 0)

    @property
    def penalty(self) -> tuple[int, int]:
        return self._field(_PENALTY, 4, 8), self._field(_PENALTY, 12, 37)

    @property
    def seen(self) -> int:
        return self.words[self.start + _SEEN]

    @seen.setter
    def seen(self, value: int) -> None:
        self.words[self.start + _SEEN] = value

    @property
    def is_trust(self) -> bool:
        """Whether it is an entry for trust, or ends trust: its key begins with NUL."""
        return self.text[0] > 0 and not self.text[1]

    @property
    def text(self) -> bytes:
        return self.words[self.start + _TEXT : self.start + _ENTRY_WORDS].tobytes()

    @text.setter
    def text(self, value: bytes) -> None:
        self.words[self.start + _TEXT : self.start + _ENTRY_WORDS] = memoryview(value).cast("Q")

    def set_rate(self, excess: int, last: int) -> None:
        self._set(_RATE, (last & _TIME) << 27 | excess << 4)

    @property
    def pending(self) -> int:
        return self._field(_BAN, _PENDING_SHIFT, 20)

    def add_pending(self, change: int, *, anew: bool = False) -> None:
        pending = min(max((0 if anew else self.pending) + change, 0), _PENDING)
        self._set(_BAN, pending << _PENDING_SHIFT | self.until << 4)

    def ban_until(self, time: int) -> None:
        self._set(_BAN, self.pending << _PENDING_SHIFT | min(time, _UNTIL) << 4)

    def punish(self, level: int, time: int) -> None:
        self._set(_PENALTY, (time & _TIME) << 12 | level << 4)

    def begin(self, wanted: int, time: int) -> None:
        """Begin anew as the entry of another key."""
        following = (self.words[self.start] + 1) & _GENERATION
        self.words[self.start] = wanted << _HASH_SHIFT | following
        self.set_rate(_NO_EXCESS, time)
        self._set(_BAN, 0)
        self.punish(0, 0)
        self.seen = 0

    def _field(self, word: int, shift: int, bits: int, missing: int = 0) -> int:
        value = self.words[self.start + word]
        belongs = (value ^ self.words[self.start]) & _GENERATION == 0
        return value >> shift & (1 << bits) - 1 if belongs else missing

    def _set(self, word: int, value: int) -> None:
        self.words[self.start + word] = value | self.words[self.start] & _GENERATION


def _milliseconds(seconds: float) -> int:
    return int(min(seconds, 1e12) * 1000 + 0.5) if seconds > 0 else 0


def _between(then: int, now: int) -> int:
    apart = (now - then) & _TIME
    return apart - _TIME - 1 if apart > _TIME >> 1 else apart


def _age(then: int, now: int) -> int:
    """As `_between`, but a time in the future is older than all others."""
    age = _between(then, now)
    return age if age >= 0 else _TIME if age < -_BACKWARDS else 0


if accelerator is not None and not TYPE_CHECKING:

    class LimitTable(accelerator.LimitTable, _Listing):
        """A table in C."""

        __slots__ = ()
