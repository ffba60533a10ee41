from __future__ import annotations

import pytest

from mailworker.shm.siphash import siphash


@pytest.mark.parametrize(
    ("length", "hashed"),
    [(0, 0x726FDB47DD0E0E31), (1, 0x74F839C593DC67FD), (8, 0x93F5F5799A932462), (15, 0xA129CA6149BE45E5)],
)
def test_the_hash_is_siphash(length: int, hashed: int) -> None:
    """The first and the last of these vectors stand in the paper, all in the authors' code."""
    assert siphash(bytes(range(16)), bytes(range(length))) == hashed
