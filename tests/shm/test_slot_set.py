from __future__ import annotations

import pytest

from mailworker.shm.slot_set import CELL_SIZE, LATEST, SET_SIZE, SLOTS, TAG_SIZE, SlotSet

NOW = 1000


def tag(slot: int) -> bytes:
    return (slot + 1).to_bytes(TAG_SIZE, "big")


@pytest.fixture
def memory() -> memoryview:
    return memoryview(bytearray(SET_SIZE))


@pytest.fixture
def slots(memory: memoryview) -> SlotSet:
    return SlotSet(memory)


def fill(slots: SlotSet, expiry: int = NOW + 1) -> None:
    for slot in range(SLOTS):
        slots.write(slot, tag(slot), expiry, NOW - SLOTS + slot, b"cell %d" % slot)


def test_every_slot_is_found_by_its_tag_and_keeps_what_was_written(slots: SlotSet) -> None:
    fill(slots)
    for slot in range(SLOTS):
        assert slots.find(tag(slot)) == slot
        assert slots.read(slot) == (NOW + 1, (b"cell %d" % slot).ljust(CELL_SIZE, b"\0"))


def test_a_tag_is_not_found_across_two_others(slots: SlotSet) -> None:
    slots.write(0, b"\1\2\3\4", NOW, NOW, b"")
    slots.write(1, b"\5\6\7\x08", NOW, NOW, b"")
    assert slots.find(b"\3\4\5\6") is None
    slots.write(2, b"\3\4\5\6", NOW, NOW, b"")
    assert slots.find(b"\3\4\5\6") == 2


@pytest.mark.parametrize("size", [0, 1, CELL_SIZE])
def test_a_write_leaves_nothing_of_the_earlier_cell(slots: SlotSet, size: int) -> None:
    slots.write(3, tag(3), NOW, NOW, b"x" * CELL_SIZE)
    slots.write(3, tag(3), NOW, NOW, b"y" * size)
    assert slots.read(3)[1] == (b"y" * size).ljust(CELL_SIZE, b"\0")


def test_wiped_slots_are_zeros(slots: SlotSet, memory: memoryview) -> None:
    fill(slots)
    for slot in range(SLOTS):
        slots.wipe(slot)
    assert bytes(memory) == bytes(SET_SIZE)


def test_an_empty_slot_is_offered_first(slots: SlotSet) -> None:
    fill(slots, expiry=NOW - 1)
    slots.wipe(7)
    assert slots.offer(NOW, 0).slot == 7
    assert slots.offer(NOW, 7).slot == 7
    assert slots.offer(NOW, 8).slot == 7


def test_writers_of_different_sessions_are_offered_different_empty_slots(slots: SlotSet) -> None:
    assert len({slots.offer(NOW, near).slot for near in range(SLOTS)}) == SLOTS


def test_the_longest_expired_slot_is_offered_next(slots: SlotSet) -> None:
    fill(slots)
    slots.write(5, tag(5), NOW, NOW, b"")
    slots.write(9, tag(9), NOW - 1, NOW, b"")
    assert slots.offer(NOW, 0).slot == 9


def test_else_the_oldest_slot_is_offered(slots: SlotSet) -> None:
    fill(slots)
    slots.write(0, tag(0), LATEST, LATEST, b"")
    slots.write(31, tag(31), LATEST, 1, b"")
    assert slots.offer(NOW, 0).slot == 31


def test_the_better_offer_is_the_lesser() -> None:
    sets = [SlotSet(memoryview(bytearray(SET_SIZE))) for _ in range(5)]
    emptier, empty, expired, older, newer = sets
    for slots in sets:
        fill(slots)
    emptier.wipe(1)
    emptier.wipe(2)
    empty.wipe(0)
    expired.write(4, tag(4), NOW, NOW, b"")
    older.write(6, tag(6), NOW + 1, 1, b"")
    offers = [slots.offer(NOW, 0) for slots in sets]
    assert offers == sorted(offers)
    assert len({offer[:2] for offer in offers}) == len(sets)
    assert newer.offer(NOW, 0).slot == 0
