"""A kind of zone is one class and one row of a table: here is one that the program does not know."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from mailworker.config.zones import SharedZone
from mailworker.process.handover.zones import VARIABLE, announced, take_over
from mailworker.shm.shared import Shared, Writer
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.zones import KINDS, Zones
from tests.shm.counters import COUNT, MOST, Counters
from tests.support.recorded_log import RecordedLog

DECLARED = SharedZone("logins", 4, "count_zone")
LARGER = SharedZone("logins", 8, "count_zone")


@pytest.fixture(autouse=True)
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's."""
    monkeypatch.setitem(KINDS, "count_zone", (lambda zone: Counters(zone.name, zone.size),))


def counters(zone: SharedZone = DECLARED, previous: Zones | None = None) -> tuple[Zones, Counters]:
    zones = Zones((zone,), previous)
    return zones, zones.get(Counters, zone)


def fork(life: Callable[[], None]) -> int:
    """Start a process that lives so, and ends by a signal, as one that crashes."""
    pid = os.fork()
    if pid == 0:
        try:
            life()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    return pid


def test_rows_of_processes_are_added_and_what_a_dead_one_had_is_kept() -> None:
    _, counted = counters()

    def life(row: int) -> None:
        counted.claim(row)
        for _ in range(row + 1):
            counted.count()

    for pid in [fork(lambda row=row: life(row)) for row in range(4)]:  # type: ignore[misc]
        os.waitpid(pid, 0)
    assert [counted[row] for row in range(-1, 4)] == [0, 1, 2, 3, 4]
    for row in range(4):
        counted.free(row)
    assert [counted[row] for row in range(-1, 4)] == [10, 0, 0, 0, 0]


def test_a_worker_without_a_row_changes_nothing() -> None:
    _, counted = counters()
    counted.claim(4)
    counted.count()
    counted.free(4)
    assert counted.total == 0


def test_a_reload_goes_on_with_it_of_another_size_as_well() -> None:
    zones, counted = counters()
    counted.claim(0)
    counted.count()
    assert counters(DECLARED, zones)[1] is counted
    _, larger = counters(LARGER, zones)
    assert larger is not counted
    assert (larger[-1], larger.total) == (1, 1)


def handed_over(old: Shared, new: Shared) -> None:
    with announced([old], RecordedLog().log) as environment:
        take_over("".join(f"{os.dup(int(text))};" for text in environment[VARIABLE].split(";")[:-1]), [new])


@pytest.mark.parametrize(("layout", "total"), [(1, 1), (2, 0)])
def test_another_binary_goes_on_with_it_if_it_has_the_same_layout(layout: int, total: int) -> None:
    (_, old), (_, new) = counters(), counters(LARGER)
    old.claim(3)
    old.count()
    if layout != Counters.layout:
        new = type("Others", (Counters,), {"__slots__": (), "layout": layout})("logins", 4)
    handed_over(old, new)
    assert new.total == total


def test_what_a_worker_writes_is_not_believed() -> None:
    _, counted = counters()
    counted.claim(0)
    counted.count()
    for value in (MOST, (1 << 64) - 1):
        counted.memory[2 * COUNT.size : 3 * COUNT.size] = COUNT.pack(value)
        assert counted.total == 1
        counted.free(1)
        assert counted.total == 1
    for contents in (b"", b"rubbish", b"\xff" * COUNT.size):
        _, new = counters()
        new.take_over(contents)
        assert new.total == 0


def test_each_kind_says_who_writes_it() -> None:
    zones = Zones((DECLARED, SharedZone("SSL", 32768, "ssl_session_cache")))
    assert {part.kind: part.writer for part in zones} == {
        "counters": Writer.ROW,
        "TLS sessions": Writer.ALL,
        "ticket keys": Writer.MASTER,
    }


def test_what_only_the_master_writes_no_other_process_can() -> None:
    keys = TicketKeys("SSL")
    keys.rotate(1.0, 300.0)
    before = bytes(keys.memory)
    os.waitpid(fork(lambda: keys.memory.__setitem__(0, 1)), 0)
    assert bytes(keys.memory) == before
