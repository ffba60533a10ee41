"""The cost of checking a password on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache, partial
from time import process_time
from typing import Final

from mailworker.mail.authentication.apr1 import apr1
from mailworker.mail.authentication.passwords import Stored, Work
from mailworker.native.crypt import CRYPT

MOST: Final = 0.002
"""Seconds of processor time that a worker may spend on one password, as its other sessions wait meanwhile."""

# Other processes on the processor make work look more expensive, never cheaper. So the lowest of some measurements
# counts, and of many if the first ones are near the limit.
_TRIES: Final = 5
_MOST_TRIES: Final = 100
_NEAR: Final = 3.0
_PASSWORD: Final = b"8letters"

# For each family an amount of work, and the function that does it. Families that are not listed are not measured.
_SAMPLES: Final[dict[str, tuple[int, Callable[[], object]]]] = {
    "SHA512-CRYPT": (1000, partial(CRYPT.hash, _PASSWORD, b"$6$rounds=1000$saltsaltsaltsalt$")),
    "SHA256-CRYPT": (1000, partial(CRYPT.hash, _PASSWORD, b"$5$rounds=1000$saltsaltsaltsalt$")),
    "SHA1-CRYPT": (1000, partial(CRYPT.hash, _PASSWORD, b"$sha1$1000$saltsalt$")),
    "BLF-CRYPT": (1 << 5, partial(CRYPT.hash, _PASSWORD, b"$2y$05$saltsaltsaltsaltsaltsu")),
    "MD5-CRYPT": (1, partial(CRYPT.hash, _PASSWORD, b"$1$saltsalt$")),
    "DES-CRYPT": (1, partial(CRYPT.hash, _PASSWORD, b"sa")),
    "APR1": (1, partial(apr1, _PASSWORD, b"$apr1$saltsalt$")),
    "PBKDF2": (1000, partial(hashlib.pbkdf2_hmac, "sha1", _PASSWORD, b"saltsaltsaltsalt", 1000)),
}


def is_dear(stored: Stored) -> bool:
    """Whether a check of this password takes too long for a worker."""
    if stored.work is None:
        return False
    needed = seconds(stored.work)
    return needed is None or needed >= MOST


@lru_cache(maxsize=256)  # a file has many passwords, and few kinds of them
def seconds(work: Work) -> float | None:
    """Processor time of one check; None if it was not measured, but is known to be long."""
    if work.family not in _SAMPLES:
        return None
    amount, sample = _SAMPLES[work.family]
    least = min(_measured(sample) for _ in range(_TRIES)) * work.amount / amount
    tries = _TRIES
    while MOST <= least < _NEAR * MOST and tries < _MOST_TRIES:
        least = min(least, _measured(sample) * work.amount / amount)
        tries += 1
    return least


def _measured(work: Callable[[], object]) -> float:
    begin = process_time()
    work()
    return process_time() - begin
