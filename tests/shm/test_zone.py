from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest

from mailworker.config.zones import SharedZone
from mailworker.errors import StartError
from mailworker.shm.zone import Zone, Zones

SMALL = SharedZone("SSL", 32768)
LARGE = SharedZone("SSL", 65536)
OTHER = SharedZone("other", 32768)
KILOBYTE = 1024
SMAPS = Path("/proc/self/smaps")


def flags_of_mappings(kilobytes: int) -> list[list[str]]:
    """The kernel's flags of this process's shared anonymous mappings of that size."""
    pattern = rf"/dev/zero \(deleted\)\nSize: +{kilobytes} kB\n(?:(?!VmFlags).*\n)*VmFlags: (.*)"
    return [flags.split() for flags in re.findall(pattern, SMAPS.read_text())]


@pytest.mark.parametrize("size", [32768, 40000, 1 << 20])
def test_a_zone_has_exactly_its_size_of_zeros(size: int) -> None:
    zone = Zone("SSL", size)
    assert zone.size == size
    assert bytes(zone.memory) == bytes(size)


def test_a_size_that_the_system_refuses_is_an_error_of_the_start() -> None:
    with pytest.raises(StartError, match=r"mmap\(MAP_ANON\|MAP_SHARED, 4611686018427387904\) failed \(12: "):
        Zone("SSL", 1 << 62)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTDUMP"), reason="Linux has this advice")
def test_core_files_have_no_zones() -> None:
    zone = Zone("SSL", 1236 * KILOBYTE)
    assert zone.size == 1236 * KILOBYTE
    (flags,) = flags_of_mappings(1236)
    assert "dd" in flags


@pytest.mark.skipif(not SMAPS.exists(), reason="Linux tells about mappings")
def test_a_zone_that_nobody_has_is_freed() -> None:
    zones = Zones((SharedZone("SSL", 1252 * KILOBYTE),))
    assert len(flags_of_mappings(1252)) == 1
    del zones
    assert flags_of_mappings(1252) == []


def test_what_the_configuration_declares_is_there_by_name() -> None:
    zones = Zones((SMALL, OTHER))
    assert zones.get(SMALL) is zones.get(SharedZone("SSL", 32768))
    assert zones.get(SMALL) is not zones.get(OTHER)
    assert (zones.get(OTHER).name, zones.get(OTHER).size) == ("other", 32768)


@pytest.mark.parametrize("wanted", [LARGE, OTHER])
def test_no_zone_but_those_of_the_configuration(wanted: SharedZone) -> None:
    with pytest.raises(KeyError):
        Zones((SMALL,)).get(wanted)


def test_a_reload_keeps_a_zone_of_the_same_name_and_size() -> None:
    old = Zones((SMALL, OTHER))
    new = Zones((SMALL,), old)
    assert new.get(SMALL) is old.get(SMALL)
    assert new.ticket_keys(SMALL) is old.ticket_keys(SMALL)


def test_a_reload_with_another_size_starts_an_empty_zone_and_leaves_the_old_one() -> None:
    old = Zones((SMALL,))
    old.get(SMALL).memory[:3] = b"old"
    new = Zones((LARGE,), old)
    assert bytes(new.get(LARGE).memory) == bytes(LARGE.size)
    assert old.get(SMALL).memory[:3] == b"old"


def test_a_zone_that_one_configuration_left_out_starts_empty_again() -> None:
    first = Zones((SMALL, OTHER))
    third = Zones((SMALL, OTHER), Zones((OTHER,), first))
    assert third.get(SMALL) is not first.get(SMALL)
    assert third.get(OTHER) is first.get(OTHER)


def test_whoever_is_replaced_publishes_no_keys_but_those_that_go_on() -> None:
    old = Zones((SMALL, OTHER))
    new = Zones((SMALL,), old)
    old.stop_publishing(new)
    new.ticket_keys(SMALL).rotate(1.0, 300.0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        old.ticket_keys(OTHER).rotate(1.0, 300.0)


def test_everything_that_is_shared_has_a_label_of_its_own() -> None:
    labels = [(shared.kind, shared.layout, shared.name) for shared in Zones((SMALL, OTHER))]
    assert sorted(labels) == [
        ("TLS sessions", 1, "SSL"),
        ("TLS sessions", 1, "other"),
        ("ticket keys", 1, "SSL"),
        ("ticket keys", 1, "other"),
    ]
