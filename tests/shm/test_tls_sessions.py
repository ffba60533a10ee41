from __future__ import annotations

import re
from pathlib import Path

import pytest

from mailworker.shm.tls_sessions import TlsSessions

KILOBYTE = 1024
SMAPS = Path("/proc/self/smaps")


def mappings(kilobytes: int) -> int:
    """How many shared anonymous mappings of that size this process has."""
    return len(re.findall(rf"/dev/zero \(deleted\)\nSize: +{kilobytes} kB\n", SMAPS.read_text()))


def test_another_binary_goes_on_with_a_copy_of_the_same_size() -> None:
    zone, same, larger = TlsSessions("SSL", KILOBYTE), TlsSessions("SSL", KILOBYTE), TlsSessions("SSL", 2 * KILOBYTE)
    zone.memory[:] = b"s" * KILOBYTE
    for other in (same, larger):
        other.take_over(b"".join(zone.contents()))
    assert (bytes(same.memory), bytes(larger.memory)) == (b"s" * KILOBYTE, bytes(2 * KILOBYTE))


@pytest.mark.skipif(not SMAPS.exists(), reason="Linux tells about mappings")
def test_a_zone_that_nobody_has_is_freed() -> None:
    zone = TlsSessions("SSL", 1252 * KILOBYTE)
    assert mappings(1252) == 1
    del zone
    assert mappings(1252) == 0
