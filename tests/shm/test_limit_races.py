"""Many processes that write one table at once, and may be killed at any time."""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from mailworker.native.core import accelerator
from mailworker.shm.limit_table import ENTRY_SIZE, HEADER_SIZE, SET_SIZE, SLOTS, LimitTable
from tests.shm.limits import SECRET, SIX_A_MINUTE, SIZE, shared

pytestmark = pytest.mark.skipif(accelerator is None, reason="only the table in C has many writers")


@contextmanager
def children(number: int, task: Callable[[int], object]) -> Iterator[list[int]]:
    """Processes that run it, until they end."""
    pids = []
    for index in range(number):
        pid = os.fork()
        if pid == 0:
            try:
                task(index)
                os._exit(0)
            except BaseException:
                os._exit(1)
        pids.append(pid)
    yield pids


def statuses(pids: list[int]) -> list[int]:
    return [os.waitpid(pid, 0)[1] for pid in pids]


@pytest.mark.parametrize("keys", [1, 300])
def test_processes_that_race_never_let_more_through_than_one_would(keys: int) -> None:
    """Each key gets `burst` and one."""
    memory, passed = shared(), shared(8 * 8 * keys)
    rounds = 20_000 if keys == 1 else 40

    def race(index: int) -> None:
        table, counts = LimitTable(memory, SECRET, SIX_A_MINUTE), memoryview(passed).cast("Q")
        for _ in range(rounds):
            for key in range(keys):
                if table.take(b"%d" % key, 1.0, 50_000) >= 0:
                    counts[index * keys + key] += 1

    with children(8, race) as pids:
        assert statuses(pids) == [0] * 8
    counts = memoryview(passed).cast("Q").tolist()
    assert [sum(counts[key::keys]) for key in range(keys)] == [51] * keys


def test_keys_that_are_made_at_once_are_made_once() -> None:
    memory, keys = shared(4 * SIZE), 1000
    passed = shared(8 * 8 * keys)
    turn = memoryview(shared(8)).cast("Q")

    def race(index: int) -> None:
        table, counts = LimitTable(memory, SECRET, SIX_A_MINUTE), memoryview(passed).cast("Q")
        while not turn[0]:
            pass
        for key in range(keys):
            counts[index * keys + key] += table.take(b"%d" % key, 1.0, 0) >= 0

    with children(8, race) as pids:
        turn[0] = 1
        assert statuses(pids) == [0] * 8
    counts = memoryview(passed).cast("Q").tolist()
    assert [sum(counts[key::keys]) for key in range(keys)] == [1] * keys


CLAIMED = 0x10


class Made(NamedTuple):
    """Where an entry was made: the key's home set, and the words of its tag."""

    home: int
    tag: int


def make(table: LimitTable, memory: mmap.mmap, key: bytes) -> Made:
    """Count a request by a new key, as the one process that does."""
    words = memoryview(memory).cast("Q")
    before = words.tolist()
    assert table.take(key, 1.0, 0) == 0
    sets = [(HEADER_SIZE + number * SET_SIZE) // 8 for number in range((SIZE - HEADER_SIZE) // SET_SIZE)]
    tags = [start + 1 + slot * ENTRY_SIZE // 8 for start in sets for slot in range(SLOTS)]
    (home,) = (number for number, turn in enumerate(sets) if words[turn] != before[turn])
    (tag,) = (tag for tag in tags if words[tag] != before[tag])
    return Made(home, tag)


def test_an_entry_whose_maker_was_stopped_is_found_after_others_were_made() -> None:
    """The maker was stopped between the turn, which makes the entry exist, and the end of its claim."""
    keys: dict[int, list[bytes]] = {}
    for key in (b"%d" % number for number in range(400)):
        memory = shared()
        keys.setdefault(make(LimitTable(memory, SECRET, SIX_A_MINUTE), memory, key).home, []).append(key)
    for first, stopped, *others in keys.values():
        memory = shared()
        table = LimitTable(memory, SECRET, SIX_A_MINUTE)
        home = make(table, memory, first).tag  # so that the next one goes to its other set
        made = make(table, memory, stopped)
        assert abs(made.tag - home) * 8 > SLOTS * ENTRY_SIZE
        memoryview(memory).cast("Q")[made.tag] |= CLAIMED
        for other in others[:3]:
            assert table.take(other, 1.0, 0) == 0
        assert table.take(stopped, 1.0, 0) < 0


def test_killed_processes_leave_no_lock_and_no_key_that_is_stuck() -> None:
    memory = shared()

    def work(index: int) -> None:
        table, chance = LimitTable(memory, SECRET, SIX_A_MINUTE), random.Random(index)
        while True:
            key = b"%d" % chance.randrange(2000)
            table.take(key, time.monotonic(), 5000)
            table.ban(key, time.monotonic(), 0.001)

    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        with children(4, work) as pids:
            time.sleep(0.03)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            statuses(pids)
    table, later = LimitTable(memory, SECRET, SIX_A_MINUTE), time.monotonic() + 3600
    for number in range(2000):
        key = b"%d" % number
        assert [table.take(key, later, 1000) for _ in range(4)][:1] == [0]
        assert table.take(key, later, 0) <= -1 - 1000
    assert table.bans(later, 9999) == []
