"""Slots that are not what one process has written, whole: misses, nothing worse."""

from __future__ import annotations

import struct
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.tls_session_table import CELL_SIZE, LARGEST_SESSION, SET_SIZE, TlsSessionTable
from mailworker.shm.tls_sessions import TlsSessions
from tests.native.sessions import CERTIFICATE_SIZE, Clock, session, session_id

SMALLEST = 2 * SET_SIZE
SIZES = (100, 158, 400)


def small_zone() -> tuple[TlsSessions, TlsSessionTable]:
    zone = TlsSessions("SSL", SMALLEST)
    return zone, TlsSessionTable(zone.memory, 300, Clock())


@pytest.mark.parametrize("mask", [0xFF, 0x01])
def test_flipping_any_byte_gives_misses_only(mask: int) -> None:
    zone, table = small_zone()
    stored = {session_id(size): session(session_id(size), size) for size in SIZES}
    for identity, text in stored.items():
        table.new(identity, text)
    whole = bytes(zone.memory)
    missed = 0
    for position in range(len(whole)):
        zone.memory[position] ^= mask
        for identity, text in stored.items():
            found = table.get(identity)
            assert found in (None, text)
            missed += found is None
        zone.memory[:] = whole
    assert missed > sum(SIZES) - 32 * len(SIZES)


@pytest.mark.parametrize(("old_size", "new_size"), [(158, 158), (158, CERTIFICATE_SIZE), (CERTIFICATE_SIZE, 158)])
@pytest.mark.parametrize("same_id", [True, False])
def test_a_write_that_stopped_anywhere_is_no_session(old_size: int, new_size: int, same_id: bool) -> None:
    zone, table = small_zone()
    old, new = session_id(1), session_id(1 if same_id else 2)
    answers = {(old, session(old, old_size, 1)), (new, session(new, new_size, 2))}
    table.new(old, session(old, old_size, 1))
    before = bytes(zone.memory)
    table.new(new, session(new, new_size, 2))
    after = bytes(zone.memory)
    changed = [position for position in range(len(after)) if before[position] != after[position]]
    for stop in changed:
        for mixed in (before[:stop] + after[stop:], after[:stop] + before[stop:]):
            zone.memory[:] = mixed
            for identity in {old, new}:
                found = table.get(identity)
                assert found is None or (identity, found) in answers


@settings(deadline=None)
@given(st.data())
def test_any_mixture_of_two_writes_is_no_session(data: st.DataObject) -> None:
    zone, table = small_zone()
    identity = session_id(1)
    versions = [session(identity, data.draw(st.integers(32, 500)), version) for version in (1, 2)]
    images = []
    for version in versions:
        table.new(identity, version)
        images.append(bytes(zone.memory))
    differing = [position for position, (one, other) in enumerate(zip(*images, strict=True)) if one != other]
    choice = data.draw(st.integers(0, (1 << len(differing)) - 1))
    for number, position in enumerate(differing):
        zone.memory[position] = images[choice >> number & 1][position]
    assert table.get(identity) in (None, *versions)


@given(st.binary(min_size=1, max_size=64))
def test_a_zone_full_of_rubbish_is_empty_and_can_be_used(pattern: bytes) -> None:
    zone, table = small_zone()
    zone.memory[:] = (pattern * len(zone.memory))[: len(zone.memory)]
    identity = session_id(1)
    assert table.get(identity) is None
    table.remove(identity)
    table.new(identity, session(identity))
    assert table.get(identity) == session(identity)


def test_a_length_beyond_all_parts_is_a_miss() -> None:
    zone, table = small_zone()
    identity = session_id(1)
    table.new(identity, session(identity))
    start = bytes(zone.memory).index(session(identity)[:16]) - 4  # the length is before the cut and the text
    zone.memory[start : start + 2] = b"\xff\xff"
    assert table.get(identity) is None


@pytest.mark.parametrize("number", [nan, inf, -inf, 1e15, 0.0])
def test_sessions_find_room_among_rows_of_any_time(number: float) -> None:
    zone, table = small_zone()
    identities = [session_id(name) for name in range(20)]
    for filling in (struct.pack("d", number), b"\xff", b"\0\0\0\x80", b"\x01\0\0\0"):
        zone.memory[:] = (filling * len(zone.memory))[: len(zone.memory)]
        for identity in identities:
            table.new(identity, session(identity))
        assert [table.get(identity) for identity in identities] == [session(identity) for identity in identities]


def test_rows_of_before_are_sessions_of_before_or_none() -> None:
    zone, table = small_zone()
    identity = session_id(1)
    table.new(identity, session(identity, version=1))
    old = bytes(zone.memory)
    table.remove(identity)
    table.new(identity, session(identity, version=2))
    zone.memory[:] = old
    assert table.get(identity) == session(identity, version=1)


def test_removing_a_session_takes_no_longer_than_the_longest_has_parts() -> None:
    zone, table = small_zone()
    identity = session_id(1)
    first = lib.siphash(0, 2, identity, len(identity)) % (1 << 32)
    tags = [1 + (first + part) % (1 << 32) % 0xFFFFFFFF for part in range(2 * lib.SLOTS)]
    sets = ffi.from_buffer("struct slot_set[]", zone.memory)
    for place, tag in enumerate(tags):  # as if a session went on and on
        sets[place % 2].tags[place // 2] = tag
    table.remove(identity)
    left = [tag for slots in sets for tag in slots.tags if tag]
    parts = -(-(12 + LARGEST_SESSION) // CELL_SIZE)
    assert len(left) == len(tags) - parts
