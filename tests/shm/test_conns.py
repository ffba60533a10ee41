"""The zones of `limit_conn_zone`."""

from __future__ import annotations

import os

import pytest

from mailworker.errors import StartError
from mailworker.shm.conn_table import OVER
from mailworker.shm.conns import Conns

SIZE = 32768


def conns(key: str = "$remote_user", size: int = SIZE, processes: int = 4, places: int = 10) -> Conns:
    return Conns("user", size, key, processes, places)


def claimed(zone: Conns, row: int) -> None:
    pid = os.fork()
    if not pid:
        zone.claim(row)
        table = zone.table()
        os._exit([table.hold(b"user", 3) for _ in range(5)].count(OVER))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


@pytest.mark.parametrize("row", [0, 3])
def test_what_a_process_has_held_ends_with_it(row: int) -> None:
    zone = conns()
    claimed(zone, row)
    assert zone.table().count(b"user") == 3
    zone.free(row)
    assert zone.table().count(b"user") == 0


def test_of_two_processes_the_other_s_connections_stay_counted() -> None:
    zone = conns()
    claimed(zone, 1)
    pid = os.fork()
    if not pid:
        zone.claim(2)
        os._exit(zone.table().hold(b"other", 3) == OVER)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    zone.free(2)
    assert (zone.table().count(b"user"), zone.table().count(b"other")) == (3, 0)


def test_a_process_beyond_the_last_row_counts_too() -> None:
    zone = conns(processes=1)
    claimed(zone, 600)
    zone.free(600)
    assert zone.table().count(b"user") == 3


def test_counts_go_on_over_a_reload_with_other_workers() -> None:
    former = conns()
    claimed(former, 1)
    zone = conns(processes=8, places=20)
    zone.follow(former)
    assert zone.table().hold(b"user", 3) == OVER
    former.free(1)
    assert zone.table().hold(b"user", 3) >= 0
    former.stop_publishing()
    assert len(zone.lent) == 1  # for another binary, which counts in that memory too
    heir = conns()
    heir.take_over(b"".join(zone.contents()))
    assert heir.table().count(b"user") == 1


def test_without_files_in_memory_counts_go_on_over_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    former, zone = conns(), conns(processes=8)
    claimed(former, 1)
    zone.follow(former)
    assert zone.table().hold(b"user", 3) == OVER
    assert (zone.descriptor, zone.lent, [*zone.contents()]) == (None, (), [])


def test_a_descriptor_of_nothing_begins_anew() -> None:
    former, zone = conns(), conns()
    claimed(former, 1)
    contents = b"".join(former.contents())
    former.stop_publishing()
    zone.take_over(contents)
    assert zone.table().hold(b"user", 3) == 0


def test_another_size_begins_anew() -> None:
    former, zone = conns(), conns(size=2 * SIZE)
    claimed(former, 1)
    zone.follow(former)
    assert zone.table().count(b"user") == 0


def test_another_key_is_refused_in_nginx_s_words() -> None:
    with pytest.raises(StartError) as caught:
        conns("$remote_addr").follow(conns())
    assert str(caught.value) == (
        'limit_conn_zone "user" uses the "$remote_addr" key while previously it used the "$remote_user" key'
    )


def test_another_binary_counts_in_the_same_memory() -> None:
    former = conns()
    claimed(former, 1)
    zone = conns(processes=2, places=5)
    zone.take_over(b"".join(former.contents()))
    assert zone.lent != former.lent
    assert zone.table().hold(b"user", 3) == OVER
    former.free(1)
    assert zone.table().count(b"user") == 0


@pytest.mark.parametrize("other", [conns("$remote_addr"), conns(size=2 * SIZE)], ids=["key", "size"])
def test_one_that_has_become_another_begins_anew(other: Conns) -> None:
    former = conns()
    claimed(former, 1)
    other.take_over(b"".join(former.contents()))
    assert other.table().count(b"user") == 0
    other.take_over(b"")


def test_who_is_no_master_gives_the_file_back() -> None:
    zone = conns()
    descriptor = zone.descriptor
    assert descriptor is not None
    zone.stop_publishing()
    assert zone.descriptor is None
    with pytest.raises(OSError):
        os.fstat(descriptor)
    assert not zone.lent
    assert not list(zone.contents())
    assert zone.table().hold(b"user", 1) == 0
