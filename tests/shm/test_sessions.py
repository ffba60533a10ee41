from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mailworker.config.zones import SharedZone
from mailworker.event.rows import NO_ROW, Rows
from mailworker.model import InetAddress
from mailworker.process.handover.zones import VARIABLE, announced, take_over
from mailworker.shm import sessions as module
from mailworker.shm.session_row import LAYOUT, ROW, Fields, SessionRow, parse
from mailworker.shm.sessions import CLAIMED, HEAD, UNLISTED, USE, USED, SessionTable
from mailworker.shm.zones import Zones
from tests.shm.test_counters import in_child
from tests.shm.test_session_row import packed
from tests.support.cpu_time import CpuTime
from tests.support.recorded_log import RecordedLog

SERVERS = (("imap.example", "imap"), ("pop3.example", "pop3"))


def new_table(rows: int = 8, workers: int = 4, servers: Sequence[tuple[str, str]] = SERVERS) -> SessionTable:
    return SessionTable(USE, rows, workers, servers)


def writer(table: SessionTable, worker: int) -> Rows:
    table.claim(worker)
    assert table.own is not None
    return Rows(*table.own, 0.0, 1)


def open_row(rows: Rows, number: int, user: bytes = b"") -> int:
    row = rows.open(object(), number, time.monotonic(), number % 2, InetAddress("192.0.2.1", number % 65536))
    if user:
        rows.ask(row, user, time.monotonic())
    return row


def users(table: SessionTable) -> list[str]:
    return sorted(row.user for row in table.rows())


def test_rows_of_all_workers_are_listed() -> None:
    table = new_table()
    for worker in (0, 3):
        rows = writer(table, worker)
        for number in range(worker + 1):
            open_row(rows, number, b"%d-%d" % (worker, number))
    assert users(table) == ["0-0", "3-0", "3-1", "3-2", "3-3"]
    assert {(row.worker, row.number) for row in table.rows()} == {(0, 0), (3, 0), (3, 1), (3, 2), (3, 3)}


def test_other_processes_write_what_is_read_here() -> None:
    table = new_table()
    in_child(lambda: open_row(writer(table, 1), 5, b"jane"))
    (row,) = table.rows()
    assert (row.user, row.server, row.worker, row.foreign) == ("jane", "pop3.example", 1, False)


def test_rows_of_a_worker_that_has_ended_are_free() -> None:
    table = new_table(rows=2)
    in_child(lambda: open_row(writer(table, 1), 5, b"jane"))
    in_child(lambda: open_row(writer(table, 2), 5, b"joe"))
    table.free(1)
    assert users(table) == ["joe"]
    assert b"jane" not in bytes(table._memory)  # nobody reads who was there
    table.free(1)
    in_child(lambda: open_row(writer(table, 1), 5, b"jill"))
    assert users(table) == ["jill", "joe"]


def test_a_worker_that_is_killed_in_the_middle_of_a_row_keeps_nobody() -> None:
    table = new_table()
    rows = writer(table, 1)
    for number in range(3):
        open_row(rows, number, b"jane")
    assert table.own is not None
    table.own[1][ROW] |= 1  # the number of the second row is odd
    with CpuTime() as took:
        assert len([*table.rows()]) == 2
    assert took.seconds < 1
    table.free(1)
    assert not [*table.rows()]


def test_a_row_that_changes_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = new_table()
    rows = writer(table, 0)
    second = [open_row(rows, number, name) for number, name in enumerate((b"jane", b"joe", b"jill"))][1]
    assert table.own is not None
    table.own[1][second * ROW] |= 1
    listing = table.rows()
    assert next(listing).user == "jane"

    def read(data: bytes, *arguments: Any, **others: Any) -> SessionRow | None:
        rows.ask(second, b"jim", time.monotonic())  # before it has its turn again, its writer has come to an end
        return parse(data, *arguments, **others)

    monkeypatch.setattr(module, "parse", read)
    assert [row.user for row in listing] == ["jill", "jim"]


def test_sessions_without_a_row_are_counted() -> None:
    table = new_table(rows=2)
    rows = writer(table, 0)
    assert [open_row(rows, number) for number in range(4)] == [0, 1, NO_ROW, NO_ROW]
    assert (len([*table.rows()]), table.unlisted) == (2, 2)
    table.free(0)
    assert table.unlisted == 0


def test_sessions_that_nobody_can_have_are_not_counted() -> None:
    table = new_table()
    memoryview(table._memory).cast("Q")[HEAD // 8 + UNLISTED] = 1 << 32
    assert table.unlisted == 0


def test_a_process_beyond_them_has_no_rows() -> None:
    table = new_table(workers=2)
    table.claim(2)
    assert table.own is None
    table.free(2)


def test_every_session_that_is_there_all_the_while_is_listed_once() -> None:
    chance = random.Random(19)
    table = new_table(rows=6000, workers=2)
    writers = [writer(table, worker) for worker in range(2)]
    living: dict[int, tuple[Rows, int]] = {}
    number = 0

    def come_and_go(count: int) -> None:
        nonlocal number
        for _ in range(count):
            if living and chance.random() < 0.5:
                rows, row = living.pop(chance.choice([*living]) if len(living) < 50 else next(iter(living)))
                rows.close(row)
            else:
                number += 1
                rows = writers[number % 2]
                living[number] = rows, open_row(rows, number, b"%d" % number)

    while len(living) < 10_000:
        number += 1
        rows = writers[number % 2]
        living[number] = rows, open_row(rows, number, b"%d" % number)
    for _ in range(3):
        before = set(living)
        listed: list[int] = []
        for row in table.rows():
            listed.append(int(row.user))
            if chance.random() < 0.3:
                come_and_go(3)
        staying = before & set(living)
        assert len(staying) > 500
        assert staying <= set(listed)
        assert all(listed.count(each) == 1 for each in chance.sample(sorted(staying), 200))
        assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_worker_writes_anywhere_is_no_row_or_one_that_can_be_shown(seed: int) -> None:
    chance = random.Random(seed)
    table = new_table(rows=200, workers=4)
    memory = memoryview(table._memory)

    def adding_up(size: int) -> bytes:
        garbage = (Fields._make(LAYOUT.unpack(chance.randbytes(ROW))) for _ in range(size // ROW))
        changed = (each._replace(number=2, mark=chance.choice((1, 4, 132)), server=1, length=40) for each in garbage)
        return b"".join(map(packed, changed))

    fills: tuple[tuple[Callable[[int], bytes], int], ...] = (
        (chance.randbytes, 0),
        (lambda size: b"\xff" * size, 0),
        (lambda size: b"\x01" * size, 0),
        (lambda size: bytes(chance.choice((0, 1, 2, 4, 132)) for _ in range(size)), 0),
        (adding_up, 800),
    )
    for fill, count in fills:
        memory[:] = fill(len(memory))
        with CpuTime() as took:
            found = [*table.rows()]
        assert took.seconds < 2
        assert len(found) == count
        assert [row for row in found if not (row.user + (row.backend or "")).isprintable()] == []
        assert 0 <= table.unlisted < 4 << 32
        for worker in range(4):
            table.free(worker)
        assert not [*table.rows()]


def test_workers_of_former_cycles_are_listed_as_long_as_they_have_sessions() -> None:
    first = Zones([SharedZone(USE, 8, USE, ("a\0imap",), 4)])
    table = first.get(SessionTable, SharedZone(USE, 8, USE, ("a\0imap",), 4))
    in_child(lambda: open_row(writer(table, 1), 2, b"old"))
    zone = SharedZone(USE, 16, USE, ("b\0imap", "c\0smtp"), 4)
    other = Zones([zone], first).get(SessionTable, zone)
    in_child(lambda: open_row(writer(other, 2), 3, b"new"))
    first.stop_publishing(None)
    assert {(row.user, row.server, row.worker) for row in other.rows()} == {("old", "a", 1), ("new", "c", 2)}
    assert not any(row.foreign for row in other.rows())
    table.free(1)
    assert users(other) == ["new"]


def test_a_reload_that_changes_no_server_keeps_the_table() -> None:
    zone = SharedZone(USE, 8, USE, ("a\0imap",), 4)
    first = Zones([zone])
    assert Zones([zone], first).get(SessionTable, zone) is first.get(SessionTable, zone)


def test_another_binary_reads_the_same_memory() -> None:
    table, heir = new_table(), new_table(rows=16, servers=SERVERS[:1])
    rows = writer(table, 1)
    open_row(rows, 1, b"old")
    with announced([table], RecordedLog().log) as told:
        descriptors = [int(text) for text in told[VARIABLE].split(";")[:-1]]
        assert descriptors[1:] == list(table.lent)
        take_over(f"{descriptors[0]};", [heir])
        os.dup2(table.lent[0], descriptors[0])  # what `announced` has to close
    in_child(lambda: open_row(writer(heir, 1), 2, b"new"))
    open_row(rows, 3, b"later")
    assert {(row.user, row.foreign) for row in heir.rows()} == {("old", True), ("later", True), ("new", False)}
    table.free(1)
    assert users(heir) == ["new"]


def test_another_binary_lists_the_first_sessions_too() -> None:
    table, heir = new_table(), new_table()
    heir.take_over(b"".join(table.contents()))
    open_row(writer(table, 1), 1, b"later")
    assert [(row.user, row.foreign) for row in heir.rows()] == [("later", True)]


def test_tables_of_binaries_that_have_ended_are_not_handed_on() -> None:
    binaries = [new_table()]
    for number in range(4):
        session = writer(binaries[-1], 0)
        open_row(session, number, b"%d" % number)
        binaries.append(new_table())
        binaries[-1].take_over(b"".join(binaries[-2].contents()))
        assert users(binaries[-1]) == [str(number)]
        binaries[-2].free(0)
    assert len(binaries[-1].lent) == 1


def test_a_table_of_the_binary_before_last_is_handed_on_while_it_has_sessions() -> None:
    first, second, third = new_table(), new_table(), new_table()
    open_row(writer(first, 0), 1, b"old")
    second.take_over(b"".join(first.contents()))
    third.take_over(b"".join(second.contents()))
    assert len(second.lent) == 2
    assert users(third) == ["old"]


def test_what_is_no_table_is_not_taken_over() -> None:
    heir = new_table()
    reading, writing = os.pipe()
    heir.take_over(b"[[%d, [4, 8, []]], [99999, [4, 8, []]]]" % reading)
    os.close(reading)
    os.close(writing)
    heir.take_over(b"")
    assert not [*heir.rows()]


def test_without_files_in_memory_there_is_a_table_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    table = new_table()
    in_child(lambda: open_row(writer(table, 1), 5, b"jane"))
    assert users(table) == ["jane"]
    assert (table.descriptor, table.lent) == (None, ())
    other = new_table(rows=16)
    other.follow(table)
    assert users(other) == ["jane"]


def test_a_process_that_publishes_nothing_reads_on() -> None:
    table = new_table()
    open_row(writer(table, 0), 1, b"jane")
    table.stop_publishing()
    assert (table.descriptor, table.lent) == (None, ())
    assert users(table) == ["jane"]


def test_heads_are_apart_and_rows_begin_at_pages() -> None:
    plan = module._Plan(3, 100, ())
    assert plan.head(2) == slice(2 * HEAD, 3 * HEAD)
    assert plan.all_rows(0).start % 4096 == 0
    assert plan.all_rows(1).start >= plan.all_rows(0).stop
    assert plan.all_rows(2).stop <= plan.size
    assert max(CLAIMED, USED, UNLISTED) < HEAD // 8


def test_fifty_thousand_rows_take_less_than_a_second() -> None:
    table = new_table(rows=25_000, workers=2)
    for worker in range(2):
        rows = writer(table, worker)
        for number in range(25_000):
            row = open_row(rows, number, b"user%d@example.com" % number)
            rows.relay(row, time.monotonic())
    with CpuTime() as took:
        assert sum(1 for _ in table.rows()) == 50_000
    assert took.seconds < 1.0
