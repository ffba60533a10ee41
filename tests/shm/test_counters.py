from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from mailworker.config.zones import SharedZone
from mailworker.process.handover.zones import VARIABLE, announced, take_over
from mailworker.shm import counters as module
from mailworker.shm.counters import LATEST, MOST, ROWS, USE, Counters
from mailworker.shm.zones import Zones
from tests.support.recorded_log import RecordedLog

WORDS = ("accepted", "ended", "bytes")


def counters(words: Sequence[str] = WORDS) -> Counters:
    return Counters("status", words)


def in_child(task: Callable[[], object]) -> int:
    """Run it in a process of its own; returns its id when it has ended."""
    pid = os.fork()
    if pid == 0:
        try:
            task()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    return pid


def count(zone: Counters, row: int, **amounts: int) -> None:
    zone.claim(row)
    assert zone.row is not None
    for name, amount in amounts.items():
        zone.row[zone.place(name)] += amount


def view(zone: Counters) -> memoryview:
    return zone._view()


def test_rows_of_processes_are_added_up() -> None:
    zone = counters()
    for row in (0, 7, ROWS - 1):
        in_child(lambda row=row: count(zone, row, accepted=row + 1, bytes=1))  # type: ignore[misc]
    reading = zone.read()
    assert reading.totals == {"accepted": 1 + 8 + ROWS, "ended": 0, "bytes": 3}
    assert reading.rows == [0, 7, ROWS - 1]
    assert reading.living == reading.totals


def test_what_an_ended_process_has_counted_stays_and_its_row_begins_anew() -> None:
    zone = counters()
    for _ in range(3):
        in_child(lambda: count(zone, 2, accepted=5))
        zone.free(2)
        assert not any(zone.read().living.values())
    zone.free(2)
    assert zone.read().totals == {"accepted": 15, "ended": 0, "bytes": 0}


def test_a_row_that_is_not_there_is_left_out() -> None:
    zone = counters()
    zone.claim(ROWS)
    assert zone.row is None
    zone.serve()
    zone.post({1: 7, ROWS: 8})
    for row in (ROWS, ROWS + 1):
        zone.free(row)
    assert zone.posted() == {1: (7, False)}
    assert not any(zone.read().totals.values())


def test_the_master_counts_and_says_what_it_does_itself() -> None:
    zone = counters()
    zone.add("ended")
    zone.add("ended", 2)
    zone.set_master_word(3, 1234)
    assert zone.read().totals["ended"] == 3
    assert zone.master_word(3) == 1234
    assert zone.master_word(0) == 0


@pytest.mark.parametrize("value", [MOST, (1 << 64) - 1, (1 << 64) - MOST])
def test_numbers_that_nobody_can_have_counted_count_for_nothing(value: int) -> None:
    zone = counters()
    count(zone, 1, accepted=4)
    count(zone, 2, accepted=value, ended=6)
    assert zone.read().totals == {"accepted": 4, "ended": 6, "bytes": 0}
    zone.free(2)
    zone.free(1)
    assert zone.read().totals == {"accepted": 4, "ended": 6, "bytes": 0}


def test_sums_stay_numbers_that_can_be() -> None:
    zone = counters()
    for row in range(4):
        count(zone, row, bytes=MOST - 1)
    assert zone.read().totals["bytes"] == MOST - 1
    for row in range(4):
        zone.free(row)
    assert zone.read().totals["bytes"] == MOST - 1


def test_whatever_a_worker_writes_anywhere_the_master_and_readers_go_on(seed: int = 17) -> None:
    chance, zone = random.Random(seed), counters()
    for _ in range(30):
        memory = memoryview(zone._memory)
        start = chance.randrange(len(memory) - 40_000)
        memory[start : start + 40_000] = chance.randbytes(40_000)
        memory[: module._HEADER * 8] = chance.choice([chance.randbytes(512), b"\xff" * 512, bytes(512)])
        for row in range(8):
            zone.free(row)
        zone.add("ended")
        reading = zone.read()
        assert all(0 <= value < MOST for value in reading.totals.values())
        assert all(0 <= value < MOST for value in reading.living.values())
        assert 0 <= zone.master_word(1) < MOST


def test_a_sum_that_never_ends_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    zone = counters()
    zone.add("ended", 3)
    view(zone)[0] = 1  # as a master leaves it that is killed
    assert zone.read().totals["ended"] == 3


def test_a_sum_in_the_making_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    zone, marks, words = counters(), list[int](), module._words

    def write(values: Iterable[int]) -> memoryview:
        marks.append(view(zone)[0] & 1)
        return words(values)

    count(zone, 0, ended=3)
    monkeypatch.setattr(module, "_words", write)
    zone.free(0)
    assert (marks, view(zone)[0] & 1, zone.read().totals["ended"]) == ([1, 1], 0, 3)


def test_what_the_master_has_changed_meanwhile_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = counters()
    count(zone, 0, ended=3)
    read_once, found = module._read_once, list[object]()

    def read(plan: Any, memory: memoryview) -> Any:
        found.append(sums := read_once(plan, memory))
        if len(found) == 1:
            zone.free(0)
        return sums

    monkeypatch.setattr(module, "_read_once", read)
    monkeypatch.setattr(time, "sleep", None)  # no change is under way, so nobody waits for its end
    reading = zone.read()
    assert (len(found), reading.totals["ended"], reading.living["ended"]) == (2, 3, 0)


def test_no_reader_ever_sees_a_total_fall_while_processes_come_and_go_by_force() -> None:
    """Each child counts for as long as it may, is killed at any moment, and the master sums up."""
    zone, chance = counters(), random.Random(5)
    reader = os.fork()
    if reader == 0:
        last = 0
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            total = zone.read().totals["accepted"]
            if total < last:
                os._exit(1)
            last = total
        os._exit(0)
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        row = chance.randrange(3)
        pid = os.fork()
        if pid == 0:
            zone.claim(row)
            assert zone.row is not None
            while True:
                zone.row[0] += 1
        while not zone.read().totals["accepted"]:  # the first child has counted; under load that may take long
            os.sched_yield()
        time.sleep(chance.random() * 0.02)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        zone.free(row)
    assert os.waitpid(reader, 0)[1] == 0


# Over reload and upgrade


def zones(*words: str, previous: Zones | None = None) -> tuple[Zones, Counters]:
    made = Zones((SharedZone("status", 0, USE, words),), previous)
    (zone,) = made
    assert isinstance(zone, Counters)
    return made, zone


def test_a_reload_with_the_same_names_goes_on_in_the_same_counters() -> None:
    old, zone = zones("one", "two")
    assert zones("one", "two", previous=old)[1] is zone


def test_a_reload_with_other_names_goes_on_by_name() -> None:
    old, former = zones("one", "two")
    count(former, 0, one=3, two=4)
    former.free(0)
    assert zones("two", "three", previous=old)[1].read().totals == {"two": 4, "three": 0}


def test_workers_of_former_cycles_are_counted_on() -> None:
    first, oldest = zones("one", "two")
    count(oldest, 0, one=1, two=1)
    second, middle = zones("two", "three", previous=first)
    count(middle, 1, two=10)
    _, zone = zones("three", "two", "four", previous=second)
    count(zone, 2, two=100, four=1)
    assert zone.read().totals == {"three": 0, "two": 111, "four": 1}
    assert zone.read().rows == [2, 1, 0]
    assert oldest.row is not None
    oldest.row[1] += 5
    oldest.free(0)
    middle.free(1)
    assert zone.read().totals == {"three": 0, "two": 116, "four": 1}
    assert zone.read().rows == [2]


def test_former_counters_of_this_binary_are_not_displaced() -> None:
    former, now = counters(), counters()
    count(former, 1, accepted=1)
    now.follow(former)
    assert not now.displaces
    now.displace()
    assert not former.displaced


def test_former_counters_are_forgotten_when_nobody_counts_in_them() -> None:
    made, zone = zones("one")
    for generation in range(5):
        count(zone, 0, one=1)
        zone.free(0)
        made, zone = zones("one", f"word {generation}", previous=made)
        assert zone._formers == []
    assert zone.read().totals["one"] == 5


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_what_is_not_kept_is_given_back() -> None:
    before = descriptors()
    old, former = zones("one")
    count(former, 0, one=1)
    new, zone = zones("two", previous=old)
    assert descriptors() == before + 3  # its own and one that may be lent
    old.stop_publishing(new)
    assert descriptors() == before + 2
    new.stop_publishing()
    assert descriptors() == before
    assert zone.lent == ()
    del new, zone
    abandoned = zones("three", previous=old)
    del abandoned
    assert descriptors() == before


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no files in memory here")
def test_another_binary_reads_the_counters_where_they_are() -> None:
    old = counters()
    count(old, 0, accepted=7)
    new = counters((*WORDS, "new"))
    with announced([old], RecordedLog().log) as environment:
        told = [int(text) for text in environment[VARIABLE].split(";")[:-1]]
        assert told[1:] == list(old.lent)
        assert all(map(os.get_inheritable, told))
        take_over(f"{told[0]};", [new])
        os.dup2(old.lent[0], told[0])  # what `announced` has to close
    assert not os.get_inheritable(old.lent[0])
    assert (old.displaced, new.displaces, new.displaced) == (False, True, False)
    new.displace()
    assert old.displaced
    old.reclaim()
    assert not old.displaced
    count(new, 0, accepted=1)
    assert new.read().totals == {"accepted": 8, "ended": 0, "bytes": 0, "new": 0}
    assert old.row is not None
    old.row[0] += 2
    assert new.read().totals["accepted"] == 10
    old.free(0)
    assert new.read().totals["accepted"] == 10
    third = counters()
    third.follow(new)
    new.free(0)
    assert third.read().totals["accepted"] == 10


def test_what_cannot_be_lent_is_left_alone() -> None:
    zone = counters()
    null = os.open(os.devnull, os.O_RDONLY)
    for told in ([], [[999_999, ["accepted"]]], [[null, ["accepted"]]]):
        zone.take_over(json.dumps(told).encode())
    os.close(null)
    assert not any(zone.read().totals.values())


def test_a_system_without_files_in_memory_counts_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    old, former = zones("one")
    count(former, 0, one=1)
    assert (former.descriptor, former.lent, list(former.contents())) == (None, (), [b"[]"])
    assert zones("one", "two", previous=old)[1].read().totals == {"one": 1, "two": 0}


def test_memory_is_taken_for_rows_that_are_written_alone() -> None:
    words = [str(number) for number in range(10_000)]
    zone = counters(words)
    zone.claim(3)
    zone.read()
    assert zone.descriptor is not None
    assert os.fstat(zone.descriptor).st_blocks * 512 < 3 * 8 * len(words) + (64 << 10)


def test_of_latest_words_the_greatest_number_counts_whoever_has_ended() -> None:
    name = f"{LATEST} end"
    zone = counters((*WORDS, name))
    for row, amount in ((0, 5), (1, 9), (2, 7)):
        in_child(lambda row=row, amount=amount: count(zone, row, **{name: amount, "ended": amount}))  # type: ignore[misc]
    assert zone.read().totals[name] == 9
    zone.free(1)
    zone.free(0)
    assert zone.read().totals == {"accepted": 0, "ended": 21, "bytes": 0, name: 9}
    assert zone.read().living[name] == 7
    for amount, latest in ((8, 9), (11, 11)):  # while workers of the former cycle count on
        following = counters((name, *WORDS))
        count(following, 0, **{name: amount})
        following.follow(zone)
        assert following.read().totals[name] == latest
    zone.free(2)
    for amount, latest in ((8, 9), (11, 11)):
        following = counters((name, *WORDS))
        following.add(name, amount)
        following.follow(zone)
        assert following.read().totals[name] == latest
