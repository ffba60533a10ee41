"""Keys for session tickets that all workers share, for servers without key files."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from time import monotonic
from typing import Any, Final, NamedTuple

from mailworker.shm.publication import Publication
from mailworker.shm.shared import Shared, Writer

KEY_SIZE: Final = 80  # bytes, the layout of nginx's key files: name 16, HMAC 32, AES-256 32
_KEYS: Final = 3
_JOINED: Final = KEY_SIZE * _KEYS

_BANK = Struct(f"=8s{_JOINED}s")
_SEQUENCE = Struct("=Q")
_COPY = Struct(f"=d{_JOINED}s")
_SIZE = _SEQUENCE.size + 2 * _BANK.size
_ATTEMPTS = 3
_SHORTEST_LIFETIME = 1.0  # seconds, also for a timeout of 0


class _KeySet(NamedTuple):
    """`rotated` is in seconds of the monotonic clock; `keys` are the current, the previous and the next one."""

    rotated: float
    keys: tuple[bytes, ...]


class TicketKeys(Shared):
    """Three keys of a zone; the first encrypts tickets, all decrypt them (`native.tls.ticket_keys`).

    The master keeps keys and times in its own memory, and publishes the keys; its workers can read them, but not write
    to them. There are two banks, and the sequence number tells which one is valid. The other bank is written before the
    number changes, so a reader always finds complete keys, even if the writer is killed.

    `seen` is the sequence number of the keys that `read` returns. `failure` is the reason if workers can write to the
    keys, else None.
    """

    __slots__ = ("_keys", "_known", "_publication", "_published", "_sequence", "failure", "seen")

    kind = "ticket keys"
    layout = 1
    writer = Writer.MASTER

    def __init__(self, name: str) -> None:
        """`name` is that of the zone; raises StartError if the system has no memory."""
        super().__init__(name)
        self.seen = 0
        self._keys: tuple[bytes, ...] = ()
        self._known: _KeySet | None = None
        self._publication = Publication(f"{self.kind} {name}", _SIZE)
        self._published = False
        self._sequence = 0
        self.failure = self._publication.failure

    @property
    def memory(self) -> Any:
        """The memory, which begins with the sequence number of 64 bits, which changes with the keys."""
        return self._publication.memory

    @property
    def descriptor(self) -> int | None:
        """See Shared."""
        return self._publication.descriptor

    def read(self) -> tuple[bytes, ...]:
        """Keys of KEY_SIZE bytes: the current, the previous and the next one; () before the first `rotate`.

        As long as the keys are the same, it is the same object.
        """
        if self._published_sequence() != self.seen:
            self._read_again()
        return self._keys

    def rotate(self, now: float, lifetime: float) -> float:
        """Make the keys, or replace the current one by the next if it is older than `lifetime`, in seconds.

        `now` is a time of the monotonic clock. Returns the time of the next call, on the same clock. Only the master
        calls this. Raises OSError if the keys cannot be published; the next call tries again.
        """
        known, lifetime = self._known, max(lifetime, _SHORTEST_LIFETIME)
        if known is None or now >= known.rotated + lifetime:
            known = _KeySet(now, _successors(known, now, lifetime))
            self._know(known)
        if not self._published:
            self._publish()
        return known.rotated + lifetime

    def stop_publishing(self) -> None:
        """See Shared."""
        self._publication.stop()

    def contents(self) -> Iterable[bytes]:
        """The copy for the next master, made from this one's own memory."""
        return () if self._known is None else (_COPY.pack(self._known.rotated, b"".join(self._known.keys)),)

    def take_over(self, contents: bytes) -> None:
        """Use the keys of the old master; a copy that is invalid, or from the future, is ignored."""
        if len(contents) != _COPY.size:
            return
        rotated, joined = _COPY.unpack(contents)
        if 0 <= rotated <= monotonic():  # not so for NaN
            self._know(_KeySet(rotated, _split(joined)))

    def _know(self, known: _KeySet) -> None:
        self._known, self._keys = known, known.keys
        self._published = False

    def _publish(self) -> None:
        sequence = (self._sequence + 1) % (1 << 64)
        joined = b"".join(self._keys)
        self._publication.publish(
            (
                (_bank_start(sequence), _BANK.pack(_checksum(sequence, joined), joined)),
                (0, _SEQUENCE.pack(sequence)),
                (_bank_start(sequence + 1), bytes(_BANK.size)),  # old keys must not remain in memory
            )
        )
        self._sequence = self.seen = sequence
        self._published = True

    def _published_sequence(self) -> int:
        sequence: int = _SEQUENCE.unpack_from(self.memory)[0]
        return sequence

    def _read_again(self) -> None:
        """Read the present keys. If a fast writer prevents that, keep the old ones."""
        for _ in range(_ATTEMPTS):
            sequence = self._published_sequence()
            checksum, joined = _BANK.unpack_from(self.memory, _bank_start(sequence))
            if checksum == _checksum(sequence, joined):
                self.seen, self._keys = sequence, _split(joined)
                return


def _successors(known: _KeySet | None, now: float, lifetime: float) -> tuple[bytes, ...]:
    if known is None or now >= known.rotated + 2 * lifetime:
        return tuple(secrets.token_bytes(KEY_SIZE) for _ in range(_KEYS))
    current, _, following = known.keys
    return following, current, secrets.token_bytes(KEY_SIZE)


def _split(joined: bytes) -> tuple[bytes, ...]:
    return tuple(joined[start : start + KEY_SIZE] for start in range(0, _JOINED, KEY_SIZE))


def _bank_start(sequence: int) -> int:
    return _SEQUENCE.size + sequence % 2 * _BANK.size


def _checksum(sequence: int, joined: bytes) -> bytes:
    return blake2b(_SEQUENCE.pack(sequence) + joined, digest_size=8).digest()
