"""Keys for session tickets that all workers share, for servers that name no key files."""

from __future__ import annotations

import secrets
from hashlib import blake2b
from mmap import mmap
from struct import Struct
from typing import NamedTuple

from mailworker.shm.zone import Zone

KEY_SIZE = 80  # bytes, the layout of nginx's key files: name 16, HMAC 32, AES-256 32
_KEYS = 3

_BANK = Struct(f"=8sd{KEY_SIZE * _KEYS}s")
_CHECKED = Struct("=Qd")
_SEQUENCE_SIZE = 8  # bytes
_LAST_SEQUENCE = 0xFFFFFFFFFFFFFFFF
_ATTEMPTS = 3
_SHORTEST_LIFETIME = 1.0  # seconds; a timeout of 0 shall not keep the writer busy


class _KeySet(NamedTuple):
    """`rotated` is in seconds of the monotonic clock; `keys` are the current, the previous and the next one."""

    rotated: float
    keys: tuple[bytes, ...]


class TicketKeys:
    """Three keys at the head of a zone; the first seals tickets, all open them (`native.ticket_keys`).

    The zone has two banks for them, and a sequence number says which one counts. The only writer fills the other bank
    before it counts on, so whoever reads finds whole keys wherever the writer stands, or was killed. `seen` is the
    sequence number of the keys that `read` gives.
    """

    __slots__ = ("_keys", "_lifetime", "_zone", "seen")

    def __init__(self, zone: Zone, lifetime: float) -> None:
        """`lifetime` of a ticket in seconds: the longest timeout of the servers that use the zone."""
        self._zone = zone
        self._lifetime = max(lifetime, _SHORTEST_LIFETIME)
        self.seen = 0
        self._keys: tuple[bytes, ...] = ()

    @property
    def memory(self) -> mmap:
        """Begins with the sequence number, of 64 bits, which becomes another one with the keys."""
        return self._zone.memory

    def read(self) -> tuple[bytes, ...]:
        """Keys of KEY_SIZE bytes: the current, the previous and the next one; () before the first `rotate`.

        It is the same object as before while the keys stay the same.
        """
        if self._sequence[0] != self.seen:
            self._read_again()
        return self._keys

    def rotate(self, now: float) -> float:
        """Make the keys, or put the next in place of the current one if that has served for its time.

        `now` is of the monotonic clock. Returns when to call again, on the same clock. To be called by one process
        only, the one that also made the zone. Those that are forked from it have keys to fall back on.
        """
        sequence = self._sequence[0]
        known = self._load(sequence)
        if known is None or now >= known.rotated + self._lifetime:
            known = _KeySet(now, self._successors(known, now))
            self._store((sequence + 1) % (_LAST_SEQUENCE + 1), known)
        self.read()
        return known.rotated + self._lifetime

    @property
    def _sequence(self) -> memoryview:
        """Read and written as a whole."""
        return self._zone.head[:_SEQUENCE_SIZE].cast("Q")

    def _successors(self, known: _KeySet | None, now: float) -> tuple[bytes, ...]:
        if known is None or now >= known.rotated + 2 * self._lifetime:
            return tuple(secrets.token_bytes(KEY_SIZE) for _ in range(_KEYS))
        current, _, following = known.keys
        return following, current, secrets.token_bytes(KEY_SIZE)

    def _read_again(self) -> None:
        """Take the keys of now; after failing, which takes a writer faster than this reader, the old ones stay."""
        for _ in range(_ATTEMPTS):
            sequence = self._sequence[0]
            known = self._load(sequence)
            if known is not None:
                self.seen, self._keys = sequence, known.keys
                return

    def _load(self, sequence: int) -> _KeySet | None:
        """What the bank of that sequence number holds; None where it is not whole, or of another number."""
        checksum, rotated, joined = _BANK.unpack_from(self.memory, _bank_start(sequence))
        if checksum != _checksum(sequence, rotated, joined):
            return None
        return _KeySet(rotated, tuple(joined[start : start + KEY_SIZE] for start in range(0, len(joined), KEY_SIZE)))

    def _store(self, sequence: int, key_set: _KeySet) -> None:
        joined = b"".join(key_set.keys)
        checksum = _checksum(sequence, key_set.rotated, joined)
        _BANK.pack_into(self.memory, _bank_start(sequence), checksum, key_set.rotated, joined)
        self._sequence[0] = sequence
        # A key that is out of use shall be nowhere in memory.
        _BANK.pack_into(self.memory, _bank_start(sequence + 1), b"", 0.0, b"")


def _bank_start(sequence: int) -> int:
    return _SEQUENCE_SIZE + sequence % 2 * _BANK.size


def _checksum(sequence: int, rotated: float, joined: bytes) -> bytes:
    return blake2b(_CHECKED.pack(sequence, rotated) + joined, digest_size=8).digest()
