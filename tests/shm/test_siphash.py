from __future__ import annotations

import pytest

from mailworker.shm.siphash import siphash


@pytest.mark.parametrize(
    ("length", "hashed"),
    [
        (0, 0x726FDB47DD0E0E31),
        (1, 0x74F839C593DC67FD),
        (8, 0x93F5F5799A932462),
        (15, 0xA129CA6149BE45E5),
        (300, 0x4B0B710DB6117839),
    ],
)
def test_the_hash_is_siphash(length: int, hashed: int) -> None:
    """Those of 0 and 15 bytes stand in the paper, all but the last in the authors' code; that one is OpenSSL's."""
    data = bytes(number & 0xFF for number in range(length))
    assert siphash(bytes(range(16)), data) == hashed
