"""How many connections there are by keys: both implementations, many processes at once, and kills."""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from collections import Counter

import pytest

from mailworker.native.core import accelerator
from mailworker.shm import conn_table
from mailworker.shm.conn_table import FULL, OVER, ConnTable
from tests.shm.test_limit_races import children, statuses
from tests.support.implementations import without_c

IMPLEMENTATIONS: dict[str, type[ConnTable]] = {"C": ConnTable, "Python": without_c(conn_table).ConnTable}
SECRET = bytes(range(16))
SIZE = 64 * 100
in_c = pytest.mark.skipif(accelerator is None, reason="only the table in C has many writers")


@pytest.fixture(params=IMPLEMENTATIONS)
def kind(request: pytest.FixtureRequest) -> type[ConnTable]:
    return IMPLEMENTATIONS[request.param]


def test_no_more_are_held_than_there_may_be(kind: type[ConnTable]) -> None:
    memory, journal = bytearray(SIZE), bytearray(8 * 10)
    table = kind(memory, SECRET, journal)
    places = [table.hold(b"user", 3) for _ in range(5)]
    assert places == [0, 1, 2, OVER, OVER]
    assert (table.count(b"user"), table.count(b"other")) == (3, 0)
    table.let_go(1)
    with pytest.raises(IndexError):
        table.let_go(1)
    assert table.hold(b"user", 3) >= 0
    assert table.hold(b"user", 3) == OVER
    assert table.hold(b"user", 4) >= 0
    assert table.usage() == (1, 4, 800)
    table.let_go(0)
    assert table.hold(b"user", 3) == OVER
    assert kind(memory, SECRET, bytearray(8)).let_all_go(journal) == 3, "one that was refused, or has left"


def test_all_that_was_held_can_be_let_go(kind: type[ConnTable]) -> None:
    memory, journal = bytearray(SIZE), bytearray(8 * 1000)  # there are free places among those that are held
    table = kind(memory, SECRET, journal)
    chance, held = random.Random(1), dict[int, bytes]()
    for _ in range(2000):
        if held and chance.random() < 0.45:
            place = chance.choice(list(held))
            table.let_go(place)
            del held[place]
        else:
            key = b"%d" % chance.randrange(20)
            place = table.hold(key, 1000)
            if place >= 0:
                held[place] = key
        counts = Counter(held.values())
        assert {key: table.count(key) for key in counts} == counts
    assert kind(memory, SECRET, bytearray(8)).let_all_go(journal) == len(held)
    assert table.usage() == (0, 0, 800)
    assert not any(memory)
    assert not any(journal)


def test_both_implementations_write_the_same() -> None:
    memories = {name: (bytearray(64 * 6), bytearray(8 * 100)) for name in IMPLEMENTATIONS}
    for name, kind in IMPLEMENTATIONS.items():
        table, chance = kind(memories[name][0], SECRET, memories[name][1]), random.Random(2)
        for _ in range(300):
            place = table.hold(b"%d" % chance.randrange(50), 5)
            if place >= 0 and chance.random() < 0.3:
                table.let_go(place)
    assert memories["C"] == memories["Python"]


def test_a_full_journal_and_a_full_zone_are_told(kind: type[ConnTable]) -> None:
    table = kind(bytearray(SIZE), SECRET, bytearray(8 * 2))
    assert [table.hold(b"%d" % number, 9) for number in range(3)] == [0, 1, FULL]
    small = kind(bytearray(64 * 2), SECRET, bytearray(8 * 100))
    assert sorted({small.hold(b"%d" % number, 9) for number in range(40)})[0] == FULL
    assert small.usage()[0] == 16


@pytest.mark.parametrize("place", [-1, 0, 5, 1 << 40])
def test_nothing_is_let_go_that_is_not_held(kind: type[ConnTable], place: int) -> None:
    table = kind(bytearray(SIZE), SECRET, bytearray(8 * 2))
    with pytest.raises((IndexError, OverflowError)):
        table.let_go(place)


@pytest.mark.parametrize("fill", [b"\xff", b"\x01", b"\x80"])
def test_whatever_is_in_the_memory_hurts_nobody(kind: type[ConnTable], fill: bytes) -> None:
    memory, journal = bytearray(fill * SIZE), bytearray(fill * 80)
    table = kind(memory, SECRET, journal)
    for number in range(200):
        assert table.hold(b"%d" % number, 10) in (*range(10), OVER, FULL)
    table.let_all_go(journal)
    assert len(table.usage()) == 3


@pytest.mark.parametrize(
    ("memory", "secret", "journal"), [(bytearray(64), SECRET, bytearray(8)), (bytearray(SIZE), b"x", bytearray(8))]
)
def test_memory_that_will_not_do_is_refused(
    kind: type[ConnTable], memory: bytearray, secret: bytes, journal: bytearray
) -> None:
    with pytest.raises(ValueError, match="no memory"):
        kind(memory, secret, journal)


@in_c
@pytest.mark.parametrize("keys", [1, 40])
def test_processes_that_race_never_hold_more_than_there_may_be(keys: int) -> None:
    """Each has a number for each key, which is odd while it holds the key, and looks at all numbers meanwhile.

    It looks twice: numbers only rise, so they were all so at one moment if none has changed in between.
    """
    memory, numbers = mmap.mmap(-1, SIZE), mmap.mmap(-1, 8 * 8 * keys)
    most, worst = 3, mmap.mmap(-1, 8 * 8)

    def race(index: int) -> None:
        table, inside = ConnTable(memory, SECRET, bytearray(8 * 100)), memoryview(numbers).cast("Q")
        highest, chance = memoryview(worst).cast("Q"), random.Random(index)
        for _ in range(4000):
            key = chance.randrange(keys)
            place = table.hold(b"%d" % key, most)
            if place >= 0:
                inside[key * 8 + index] += 1
                found = inside[key * 8 : key * 8 + 8].tolist()
                if found == inside[key * 8 : key * 8 + 8].tolist():
                    highest[index] = max(highest[index], sum(number % 2 for number in found))
                inside[key * 8 + index] += 1
                table.let_go(place)

    with children(8, race) as pids:
        assert statuses(pids) == [0] * 8
    assert 0 < max(memoryview(worst).cast("Q")) <= most
    assert ConnTable(memory, SECRET, bytearray(8)).usage()[:2] == (0, 0)


@in_c
def test_what_killed_processes_have_held_counts_no_more() -> None:
    """Killed within a step, a count may be too low by one; it is never too high, and 0 when all have let go."""
    memory, journals = mmap.mmap(-1, SIZE), [mmap.mmap(-1, 8 * 100) for _ in range(4)]
    table = ConnTable(memory, SECRET, bytearray(8 * 10))
    own = [table.hold(b"%d" % number, 1000) for number in range(5)]

    def work(index: int) -> None:
        other, chance = ConnTable(memory, SECRET, journals[index]), random.Random(time.monotonic())
        held: list[int] = []
        while True:
            if held and chance.random() < 0.5:
                other.let_go(held.pop(chance.randrange(len(held))))
            elif (place := other.hold(b"%d" % chance.randrange(5), 1000)) >= 0:
                held.append(place)

    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        with children(4, work) as pids:
            time.sleep(0.02)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            statuses(pids)
        for journal in journals:
            table.let_all_go(journal)
        assert all(table.count(b"%d" % number) <= 1 for number in range(5))
    for place in own:
        table.let_go(place)
    assert table.usage()[:2] == (0, 0)
