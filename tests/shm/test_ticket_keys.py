from __future__ import annotations

import pytest

from mailworker.shm.ticket_keys import KEY_SIZE, TicketKeys
from mailworker.shm.zone import Zone

LIFETIME = 300.0
START = 1000.0
SEQUENCE = slice(0, 8)
FIRST_BANK = slice(264, 520)  # of the first rotation, and of every other after that
SECOND_BANK = slice(8, 264)


@pytest.fixture
def zone() -> Zone:
    return Zone("SSL", 32768)


@pytest.fixture
def writer(zone: Zone) -> TicketKeys:
    return TicketKeys(zone, LIFETIME)


@pytest.fixture
def reader(zone: Zone) -> TicketKeys:
    return TicketKeys(zone, LIFETIME)


def test_there_are_no_keys_before_the_first_rotation(reader: TicketKeys) -> None:
    assert reader.read() == ()


def test_the_first_rotation_makes_three_keys(writer: TicketKeys, reader: TicketKeys) -> None:
    assert writer.rotate(START) == START + LIFETIME
    keys = reader.read()
    assert [len(key) for key in keys] == [KEY_SIZE] * 3
    assert len(set(keys)) == 3


def test_keys_stay_until_they_are_due(writer: TicketKeys, reader: TicketKeys) -> None:
    writer.rotate(START)
    keys = reader.read()
    assert writer.rotate(START + LIFETIME - 1) == START + LIFETIME
    assert reader.read() is keys


def test_rotation_takes_the_next_key_and_keeps_the_one_before(writer: TicketKeys, reader: TicketKeys) -> None:
    writer.rotate(START)
    current, previous, following = reader.read()
    assert writer.rotate(START + LIFETIME) == START + 2 * LIFETIME
    assert reader.read()[:2] == (following, current)
    assert reader.read()[2] not in (current, previous, following)


def test_a_key_is_nowhere_after_two_rotations(zone: Zone, writer: TicketKeys, reader: TicketKeys) -> None:
    writer.rotate(START)
    first = reader.read()[0]
    writer.rotate(START + LIFETIME)
    assert bytes(zone.head).count(first) == 1
    writer.rotate(START + 2 * LIFETIME)
    assert first not in bytes(zone.head)
    assert first not in reader.read()


def test_a_rotation_that_comes_two_lifetimes_late_leaves_no_key(writer: TicketKeys, reader: TicketKeys) -> None:
    writer.rotate(START)
    old = reader.read()
    writer.rotate(START + 2 * LIFETIME)
    assert not set(old) & set(reader.read())


def test_keys_and_their_time_survive_a_reload(zone: Zone, writer: TicketKeys, reader: TicketKeys) -> None:
    writer.rotate(START)
    keys = reader.read()
    assert TicketKeys(zone, LIFETIME).rotate(START + 1) == START + LIFETIME
    assert TicketKeys(zone, 100).rotate(START + 1) == START + 100
    assert TicketKeys(zone, 100).read() == keys


def test_a_lifetime_of_nothing_is_a_second(zone: Zone) -> None:
    assert TicketKeys(zone, 0).rotate(START) == START + 1


def test_sessions_have_no_place_among_the_keys(zone: Zone, writer: TicketKeys) -> None:
    for number in range(4):
        writer.rotate(START + number * LIFETIME)
    assert bytes(zone.body) == bytes(len(zone.body))


@pytest.mark.parametrize(("written", "wiped"), [(SECOND_BANK, FIRST_BANK)])
def test_a_writer_killed_anywhere_leaves_whole_keys(
    zone: Zone, writer: TicketKeys, written: slice, wiped: slice
) -> None:
    writer.rotate(START)
    before = bytes(zone.head)
    old = TicketKeys(zone, LIFETIME).read()
    writer.rotate(START + LIFETIME)
    after = bytes(zone.head)
    new = TicketKeys(zone, LIFETIME).read()
    for stop in range(257):
        zone.head[:] = before
        zone.head[written] = after[written][:stop] + before[written][stop:]
        assert TicketKeys(zone, LIFETIME).read() == old
        zone.head[:] = after
        zone.head[wiped] = after[wiped][:stop] + before[wiped][stop:]
        assert TicketKeys(zone, LIFETIME).read() == new
    zone.head[:] = before
    zone.head[written] = after[written]
    zone.head[SEQUENCE] = after[SEQUENCE]
    assert TicketKeys(zone, LIFETIME).read() == new


@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80])
def test_flipping_any_byte_leaves_a_reader_its_keys_and_the_writer_its_work(zone: Zone, mask: int) -> None:
    TicketKeys(zone, LIFETIME).rotate(START)
    whole = bytes(zone.head)
    reader = TicketKeys(zone, LIFETIME)
    keys = reader.read()
    for position in range(520):
        zone.head[position] ^= mask
        assert reader.read() == keys
        assert TicketKeys(zone, LIFETIME).read() in ((), keys)
        TicketKeys(zone, LIFETIME).rotate(START)
        assert len(TicketKeys(zone, LIFETIME).read()) == 3
        zone.head[:] = whole


def test_whoever_is_forked_after_a_rotation_has_its_keys_whatever_happens_to_the_zone(
    zone: Zone, writer: TicketKeys, reader: TicketKeys
) -> None:
    writer.rotate(START)
    keys = reader.read()
    zone.head[:] = bytes(255 - byte for byte in zone.head)
    assert writer.read() == keys
