from __future__ import annotations

import os
import struct
from collections.abc import Callable
from math import inf, nan
from time import monotonic

import pytest

from mailworker.shm.ticket_keys import KEY_SIZE, TicketKeys

LIFETIME = 300.0
START = 1000.0
BANK = 8 + 3 * KEY_SIZE
SEQUENCE = slice(0, 8)
FIRST_BANK = slice(8 + BANK, 8 + 2 * BANK)  # of the first rotation, and of every other after that
SECOND_BANK = slice(8, 8 + BANK)
SIZE = 8 + 2 * BANK


@pytest.fixture
def keys() -> TicketKeys:
    return TicketKeys("SSL")


def reader_of(keys: TicketKeys, published: bytes | None = None) -> TicketKeys:
    """Somebody who knows nothing but what `keys` have published, or that in its place."""
    reader = TicketKeys("SSL")
    reader._publication.publish([(0, bytes(keys.memory) if published is None else published)])
    return reader


def in_a_worker(step: Callable[[], object]) -> bool:
    """Whether `step` succeeds in a process that is forked here."""
    pid = os.fork()
    if pid == 0:
        try:
            step()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_there_are_no_keys_before_the_first_rotation(keys: TicketKeys) -> None:
    assert keys.read() == ()
    assert reader_of(keys).read() == ()


def test_the_first_rotation_makes_three_keys(keys: TicketKeys) -> None:
    assert keys.rotate(START, LIFETIME) == START + LIFETIME
    assert [len(key) for key in keys.read()] == [KEY_SIZE] * 3
    assert len(set(keys.read())) == 3
    assert reader_of(keys).read() == keys.read()


def test_keys_stay_until_they_are_due(keys: TicketKeys) -> None:
    keys.rotate(START, LIFETIME)
    before = keys.read()
    assert keys.rotate(START + LIFETIME - 1, LIFETIME) == START + LIFETIME
    assert keys.read() is before


def test_rotation_takes_the_next_key_and_keeps_the_one_before(keys: TicketKeys) -> None:
    keys.rotate(START, LIFETIME)
    current, previous, following = keys.read()
    assert keys.rotate(START + LIFETIME, LIFETIME) == START + 2 * LIFETIME
    assert keys.read()[:2] == (following, current)
    assert keys.read()[2] not in (current, previous, following)


def test_a_key_is_nowhere_after_two_rotations(keys: TicketKeys) -> None:
    keys.rotate(START, LIFETIME)
    first = keys.read()[0]
    keys.rotate(START + LIFETIME, LIFETIME)
    assert bytes(keys.memory).count(first) == 1
    keys.rotate(START + 2 * LIFETIME, LIFETIME)
    assert first not in bytes(keys.memory)
    assert first not in keys.read()


def test_banks_take_turns_and_the_old_one_is_wiped(keys: TicketKeys) -> None:
    for number, (used, wiped) in enumerate([(FIRST_BANK, SECOND_BANK), (SECOND_BANK, FIRST_BANK)] * 2):
        keys.rotate(START + number * LIFETIME, LIFETIME)
        memory = bytes(keys.memory)
        assert b"".join(keys.read()) in memory[used]
        assert memory[wiped] == bytes(BANK)


def test_a_rotation_that_comes_two_lifetimes_late_leaves_no_key(keys: TicketKeys) -> None:
    keys.rotate(START, LIFETIME)
    old = keys.read()
    keys.rotate(START + 2 * LIFETIME, LIFETIME)
    assert not set(old) & set(keys.read())


def test_a_reload_may_change_the_lifetime_and_keeps_the_keys(keys: TicketKeys) -> None:
    keys.rotate(START, LIFETIME)
    before = keys.read()
    assert keys.rotate(START + 1, 100) == START + 100
    assert keys.read() == before


def test_a_lifetime_of_nothing_is_a_second(keys: TicketKeys) -> None:
    assert keys.rotate(START, 0) == START + 1


def test_workers_see_what_is_published_after_their_start(keys: TicketKeys) -> None:
    keys.rotate(START, LIFETIME)
    before = keys.read()
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(ready, 1)
        os._exit(0 if keys.read()[:2] == (before[2], before[0]) else 1)
    keys.rotate(START + LIFETIME, LIFETIME)
    os.write(told, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(ready)
    os.close(told)


@pytest.mark.parametrize(("written", "wiped"), [(SECOND_BANK, FIRST_BANK)])
def test_a_writer_killed_anywhere_leaves_whole_keys(keys: TicketKeys, written: slice, wiped: slice) -> None:
    keys.rotate(START, LIFETIME)
    before, old = bytes(keys.memory), keys.read()
    keys.rotate(START + LIFETIME, LIFETIME)
    after, new = bytes(keys.memory), keys.read()
    for stop in range(BANK + 1):
        half = bytearray(before)
        half[written] = after[written][:stop] + before[written][stop:]
        assert reader_of(keys, bytes(half)).read() == old
        half[:] = after
        half[wiped] = after[wiped][:stop] + before[wiped][stop:]
        assert reader_of(keys, bytes(half)).read() == new
    half[:] = before
    half[written] = after[written]
    half[SEQUENCE] = after[SEQUENCE]
    assert reader_of(keys, bytes(half)).read() == new


@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80])
def test_flipping_any_byte_leaves_a_reader_its_keys(keys: TicketKeys, mask: int) -> None:
    keys.rotate(START, LIFETIME)
    whole, known, reader = bytes(keys.memory), keys.read(), reader_of(keys)
    assert reader.read() == known
    for position in range(SIZE):
        flipped = bytearray(whole)
        flipped[position] ^= mask
        reader._publication.publish([(0, bytes(flipped))])
        assert reader.read() == known


@pytest.mark.parametrize("number", [nan, inf, -inf, 1e15, 1e308, -1.0, 0.0])
def test_the_master_decides_by_its_own_memory_whatever_is_in_what_it_publishes(keys: TicketKeys, number: float) -> None:
    keys.rotate(START, LIFETIME)
    known = keys.read()
    keys._publication.publish([(0, struct.pack("d", number) * (SIZE // 8))])
    assert keys.rotate(START + 1, LIFETIME) == START + LIFETIME
    assert keys.rotate(START + LIFETIME, LIFETIME) == START + 2 * LIFETIME
    assert keys.read()[:2] == (known[2], known[0])
    assert reader_of(keys).read() == keys.read()


def test_whoever_is_forked_after_a_rotation_has_its_keys_whatever_is_published(keys: TicketKeys) -> None:
    keys.rotate(START, LIFETIME)
    known = keys.read()
    keys._publication.publish([(0, bytes(255 - byte for byte in bytes(keys.memory)))])
    assert keys.read() == known


def test_a_worker_publishes_nothing(keys: TicketKeys) -> None:
    keys.rotate(START, LIFETIME)

    def publish() -> None:
        keys.stop_publishing()
        keys.rotate(START + LIFETIME, LIFETIME)

    assert not in_a_worker(publish)
    assert reader_of(keys).read() == keys.read()


def test_keys_that_could_not_be_published_are_published_later(
    keys: TicketKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.rotate(START, LIFETIME)
    old = keys.read()
    with monkeypatch.context() as broken:
        broken.setattr(type(keys._publication), "publish", raise_error)
        with pytest.raises(OSError, match="Too many open files"):
            keys.rotate(START + LIFETIME, LIFETIME)
    assert reader_of(keys).read() == old
    assert keys.rotate(START + LIFETIME + 1, LIFETIME) == START + 2 * LIFETIME
    assert reader_of(keys).read()[:2] == (old[2], old[0])


def raise_error(*arguments: object) -> None:
    raise OSError(24, "Too many open files")


def copy_of(keys: TicketKeys) -> bytes:
    return b"".join(keys.contents())


def test_the_next_master_goes_on_with_keys_and_time(keys: TicketKeys) -> None:
    start = monotonic() - 10.0
    keys.rotate(start, LIFETIME)
    successor = TicketKeys("SSL")
    successor.take_over(copy_of(keys))
    assert successor.rotate(start + 10.0, LIFETIME) == start + LIFETIME
    assert successor.read() == keys.read()
    assert reader_of(successor).read() == keys.read()


def test_before_the_first_rotation_there_is_nothing_to_go_on_with(keys: TicketKeys) -> None:
    successor = TicketKeys("SSL")
    successor.take_over(copy_of(keys))
    assert successor.read() == ()


@pytest.mark.parametrize("rotated", [nan, inf, -inf, -1.0, 1e15, 1e308])
def test_keys_of_a_time_that_cannot_be_are_not_taken_over(rotated: float) -> None:
    successor = TicketKeys("SSL")
    successor.take_over(struct.pack("=d", rotated) + bytes(3 * KEY_SIZE))
    assert successor.read() == ()
    assert successor.rotate(START, LIFETIME) == START + LIFETIME


@pytest.mark.parametrize("size", [0, 7, 8, 247, 249, 1024])
def test_what_has_another_size_is_not_taken_over(size: int) -> None:
    successor = TicketKeys("SSL")
    successor.take_over(bytes(size))
    assert successor.read() == ()
