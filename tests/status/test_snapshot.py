from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mailworker.status.master_state import Process
from mailworker.status.page import render
from mailworker.status.snapshot import Sessions, Snapshot
from mailworker.status.tree import tree
from tests.status.stage import IMAP, SMTP, Scene


def test_sessions_are_those_that_have_begun_and_not_ended() -> None:
    scene = Scene()
    scene.count(0, "accepted", *IMAP, amount=10)
    scene.count(0, "logins", *IMAP, amount=6)
    scene.count(0, "session_seconds", *IMAP, "5.0", amount=1)
    scene.count(0, "session_seconds", *IMAP, "+Inf", amount=1)
    scene.count(0, "session_seconds", *IMAP, "sum", amount=90_000_000)
    scene.count(0, "ended", *IMAP, "client_closed", amount=2)
    scene.count(0, "ended", *IMAP, "quit", amount=1)
    scene.count(1, "accepted", *IMAP, amount=100)
    assert scene.take().sessions == {IMAP: Sessions(103, 4), SMTP: Sessions(0, 0)}


def test_sessions_of_a_killed_worker_are_gone_and_totals_stay() -> None:
    scene = Scene()
    scene.count(0, "accepted", *IMAP, amount=10)
    scene.count(0, "logins", *IMAP, amount=6)
    scene.counters.free(0)
    snapshot = scene.take()
    assert snapshot.sessions[IMAP] == Sessions(0, 0)
    assert snapshot.count("accepted", "in", "imap") == 10


def test_who_asks_for_another_server_is_counted_there() -> None:
    scene = Scene()
    scene.count(0, "accepted", *IMAP, amount=2)
    scene.count(0, "moved", *IMAP)
    scene.count(0, "arrived", *SMTP)
    assert scene.take().sessions == {IMAP: Sessions(1, 0), SMTP: Sessions(1, 0)}


def test_no_garbage_makes_less_than_no_session() -> None:
    scene = Scene()
    scene.count(0, "ended", *IMAP, "quit", amount=5)
    scene.count(0, "session_seconds", *IMAP, "5.0", amount=5)
    assert scene.take().sessions[IMAP] == Sessions(0, 0)


def test_ready_is_a_master_that_stays_with_a_worker_that_serves() -> None:
    scene = Scene()
    scene.post()
    assert not scene.take().ready
    scene.work(0, leaving=True)
    assert not scene.take().ready
    scene.work(1)
    scene.help(2)
    scene.processes.append(Process(os.getpid(), 3, 3, True, False))  # it does not serve yet
    scene.post()
    snapshot = scene.take()
    assert (snapshot.ready, snapshot.serving, snapshot.draining) == (True, 1, 1)
    assert [each.process.row for each in snapshot.workers] == [0, 1, 3]
    scene.post(stopping=True)
    assert not scene.take().ready


def test_processor_time_is_that_of_the_worker() -> None:
    scene = Scene()
    scene.work(0)
    scene.work(1, pid=(1 << 32) - 1)
    mine, nobodys = scene.take().workers
    used = os.times()
    assert mine.cpu is not None
    assert 0 < mine.cpu <= used.user + used.system + 1
    assert nobodys.cpu is None


def test_times_of_the_master_are_seconds_since_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.5]
    monkeypatch.setattr("mailworker.status.master_state.time", lambda: now[0])
    scene = Scene()
    now[0] += 60.25
    scene.state.reload(scene.counters, "it failed")
    scene.post()
    found = scene.take()
    assert (found.started, found.reloaded, found.reload_failed) == (1_800_000_000.5, 1_800_000_060.75, True)
    last = {"time": 1_800_000_060.75, "started": 1_800_000_000.5, "generation": 1, "error": "it failed"}
    assert scene.state.last_reload == last


class _Counted(dict[tuple[str, ...], int]):
    """Counts how often all of it is read."""

    readings = 0

    def items(self) -> Any:
        self.readings += 1
        return super().items()


@pytest.mark.parametrize("show", [tree, render])
def test_counters_are_read_as_often_for_many_servers_as_for_one(show: Callable[[Snapshot], object]) -> None:
    snapshot = Scene().take()
    counted = {name: _Counted(values) for name, values in snapshot.families.items()}
    show(replace(snapshot, families=counted))
    readings = {name: values.readings for name, values in counted.items() if any(each[:2] == IMAP for each in values)}
    assert readings.keys() > {"ended", "bytes", "handshakes"}
    assert max(readings.values()) == 1
