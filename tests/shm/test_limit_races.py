"""Many processes that write one table at once, and may be killed at any time."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mailworker.native.core import accelerator
from mailworker.shm.limit_table import LimitTable
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
        table, counts = LimitTable(memory, SECRET, (0, 1000)), memoryview(passed).cast("Q")
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
        table, counts = LimitTable(memory, SECRET, (0, 1000)), memoryview(passed).cast("Q")
        while not turn[0]:
            pass
        for key in range(keys):
            counts[index * keys + key] += table.take(b"%d" % key, 1.0, 0) >= 0

    with children(8, race) as pids:
        turn[0] = 1
        assert statuses(pids) == [0] * 8
    counts = memoryview(passed).cast("Q").tolist()
    assert [sum(counts[key::keys]) for key in range(keys)] == [1] * keys


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
