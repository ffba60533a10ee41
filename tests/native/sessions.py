"""Sessions as OpenSSL encodes them, as far as a store can tell, and clocks that tests set."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import shake_128

ID_SIZE = 32
ID_START = 16  # where OpenSSL's encoding has the id
TYPICAL_SIZE = 158  # bytes: TLS 1.3 with ALPN
CERTIFICATE_SIZE = 1200  # bytes: with a client's certificate


def session_id(number: int) -> bytes:
    return shake_128(b"id %d" % number).digest(ID_SIZE)


def session(identity: bytes, size: int = TYPICAL_SIZE, version: int = 0) -> bytes:
    """A session that nothing but its arguments decides."""
    filling = shake_128(b"%d %d " % (size, version) + identity).digest(size - len(identity))
    return filling[:ID_START] + identity + filling[ID_START:]


@dataclass
class Clock:
    """A monotonic clock that stands still until it is told to go on."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
