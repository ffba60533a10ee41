"""What a set of slots offers and keeps."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.tls_session_table import CELL_SIZE, SET_SIZE

NOW = 1000
SLOTS: int = lib.SLOTS
LATEST = 0xFFFFFFFF


class Offer(NamedTuple):
    kind: int
    value: int
    slot: int


class SlotSet:
    def __init__(self) -> None:
        self._set = ffi.new("struct slot_set *")

    def find(self, tag: int) -> int | None:
        slot: int = lib.slot_find(self._set, tag)
        return slot if slot >= 0 else None

    def offer(self, now: int, near: int) -> Offer:
        offer = lib.slot_offer(self._set, now, near)
        return Offer(offer.kind, offer.value, offer.slot)

    def cell(self, slot: int) -> bytes:
        return bytes(ffi.buffer(self._set.cells[slot]))

    def fill(self, slot: int, tag: int, expiry: int, stored: int, cell: bytes) -> None:
        lib.slot_fill(self._set, slot, tag, expiry, stored, cell, len(cell))

    def wipe(self, slot: int) -> None:
        self.fill(slot, 0, 0, 0, b"")

    def __bytes__(self) -> bytes:
        return bytes(ffi.buffer(self._set))


@pytest.fixture
def slots() -> SlotSet:
    return SlotSet()


def fill(slots: SlotSet, expiry: int = NOW + 1) -> None:
    for slot in range(SLOTS):
        slots.fill(slot, slot + 1, expiry, NOW - SLOTS + slot, b"cell %d" % slot)


def test_every_slot_is_found_by_its_tag_and_keeps_what_was_written(slots: SlotSet) -> None:
    fill(slots)
    for slot in range(SLOTS):
        assert slots.find(slot + 1) == slot
        assert slots.cell(slot) == (b"cell %d" % slot).ljust(CELL_SIZE, b"\0")


def test_a_tag_is_not_found_across_two_others(slots: SlotSet) -> None:
    slots.fill(0, 0x04030201, NOW, NOW, b"")
    slots.fill(1, 0x08070605, NOW, NOW, b"")
    assert slots.find(0x06050403) is None
    slots.fill(2, 0x06050403, NOW, NOW, b"")
    assert slots.find(0x06050403) == 2


@pytest.mark.parametrize("size", [0, 1, CELL_SIZE])
def test_a_write_leaves_nothing_of_the_earlier_cell(slots: SlotSet, size: int) -> None:
    slots.fill(3, 1, NOW, NOW, b"x" * CELL_SIZE)
    slots.fill(3, 1, NOW, NOW, b"y" * size)
    assert slots.cell(3) == (b"y" * size).ljust(CELL_SIZE, b"\0")


def test_wiped_slots_are_zeros(slots: SlotSet) -> None:
    fill(slots)
    for slot in range(SLOTS):
        slots.wipe(slot)
    assert bytes(slots) == bytes(SET_SIZE)


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
    slots.fill(5, 1, NOW, NOW, b"")
    slots.fill(9, 2, NOW - 1, NOW, b"")
    assert slots.offer(NOW, 0).slot == 9


def test_else_the_oldest_slot_is_offered(slots: SlotSet) -> None:
    fill(slots)
    slots.fill(0, 1, LATEST, NOW + 1, b"")  # by another processor's clock
    slots.fill(31, 2, LATEST, 1, b"")
    assert slots.offer(NOW, 0).slot == 31


@pytest.mark.parametrize("stored", [NOW + 100, LATEST])
def test_a_slot_from_the_future_is_offered_before_any_other_in_use(slots: SlotSet, stored: int) -> None:
    fill(slots)
    slots.fill(0, 1, LATEST, 1, b"")
    slots.fill(7, 2, LATEST, stored, b"")
    assert slots.offer(NOW, 0).slot == 7


def test_the_better_offer_is_the_lesser() -> None:
    sets = [SlotSet() for _ in range(5)]
    emptier, empty, expired, older, newer = sets
    for slots in sets:
        fill(slots)
    emptier.wipe(1)
    emptier.wipe(2)
    empty.wipe(0)
    expired.fill(4, 4, NOW, NOW, b"")
    older.fill(6, 6, NOW + 1, 1, b"")
    offers = [slots.offer(NOW, 0) for slots in sets]
    assert offers == sorted(offers)
    assert len({offer[:2] for offer in offers}) == len(sets)
    assert newer.offer(NOW, 0).slot == 0


@pytest.mark.parametrize(
    ("length", "hashed"),
    [(0, 0x726FDB47DD0E0E31), (1, 0x74F839C593DC67FD), (8, 0x93F5F5799A932462), (15, 0xA129CA6149BE45E5)],
)
def test_the_hash_is_siphash(length: int, hashed: int) -> None:
    """The first and the last of these vectors stand in the paper, all in the authors' code."""
    low, high = (int.from_bytes(bytes(range(start, start + 8)), "little") for start in (0, 8))
    assert lib.siphash(low, high, bytes(range(length)), length) == hashed
