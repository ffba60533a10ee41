from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest

from mailworker.errors import StartError
from mailworker.shm.tls_sessions import TlsSessions

KILOBYTE = 1024
SMAPS = Path("/proc/self/smaps")


def flags_of_mappings(kilobytes: int) -> list[list[str]]:
    """The kernel's flags of this process's shared anonymous mappings of that size."""
    pattern = rf"/dev/zero \(deleted\)\nSize: +{kilobytes} kB\n(?:(?!VmFlags).*\n)*VmFlags: (.*)"
    return [flags.split() for flags in re.findall(pattern, SMAPS.read_text())]


@pytest.mark.parametrize("size", [32768, 40000, 1 << 20])
def test_a_zone_has_exactly_its_size_of_zeros(size: int) -> None:
    zone = TlsSessions("SSL", size)
    assert zone.size == size
    assert bytes(zone.memory) == bytes(size)


def test_a_size_that_the_system_refuses_is_an_error_of_the_start() -> None:
    with pytest.raises(StartError, match=r"mmap\(MAP_ANON\|MAP_SHARED, 4611686018427387904\) failed \(12: "):
        TlsSessions("SSL", 1 << 62)


def test_another_binary_goes_on_with_a_copy_of_the_same_size() -> None:
    zone, same, larger = TlsSessions("SSL", KILOBYTE), TlsSessions("SSL", KILOBYTE), TlsSessions("SSL", 2 * KILOBYTE)
    zone.memory[:] = b"s" * KILOBYTE
    for other in (same, larger):
        other.take_over(b"".join(zone.contents()))
    assert (bytes(same.memory), bytes(larger.memory)) == (b"s" * KILOBYTE, bytes(2 * KILOBYTE))


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTDUMP"), reason="Linux has this advice")
def test_core_files_have_no_zones() -> None:
    zone = TlsSessions("SSL", 1236 * KILOBYTE)
    assert zone.size == 1236 * KILOBYTE
    (flags,) = flags_of_mappings(1236)
    assert "dd" in flags


@pytest.mark.skipif(not SMAPS.exists(), reason="Linux tells about mappings")
def test_a_zone_that_nobody_has_is_freed() -> None:
    zone = TlsSessions("SSL", 1252 * KILOBYTE)
    assert len(flags_of_mappings(1252)) == 1
    del zone
    assert flags_of_mappings(1252) == []
