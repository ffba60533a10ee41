"""Reports to a policy service, for which nobody waits; questions are asked in test_policed.py."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mailworker.config.auth_policy import AuthPolicySettings
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.mail.authentication.policy import PolicyService, Reports
from mailworker.mail.session_log import SessionLog
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.policy_service import PolicyService as Scripted
from tests.support.recorded_log import RecordedLog


class Worker:
    """A loop that ends with the last connection."""

    def __init__(self, scripted: Scripted, connections: int = 512, timeout: float = PATIENCE) -> None:
        self.bugs: list[Exception] = []
        self.loop = Loop(self.bugs.append)
        self.connections = Connections(self.loop, connections, self.loop.stop)
        settings = AuthPolicySettings(scripted.address, b"host", b"/", timeout, (), b"nonce")
        self.service = PolicyService(settings)
        self.reports = Reports(self.service)
        self.recorded = RecordedLog()
        self.log = SessionLog(self.recorded, 1, "192.0.2.1")

    def add(self, count: int) -> None:
        for number in range(count):
            self.reports.add(self.connections, {**FIELDS, "login": str(number)}, self.log)

    def run(self) -> None:
        self.loop.run()
        self.service.close()
        self.loop.close()
        assert not self.bugs


FIELDS: dict[str, Any] = {"login": "", "pwhash": "", "remote": "192.0.2.1", "success": True}


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    service = Scripted()
    yield service
    service.stop()


def test_each_is_told_once_by_a_few_connections_before_the_worker_leaves(scripted: Scripted) -> None:
    worker = Worker(scripted)
    worker.add(200)
    worker.run()
    assert sorted(int(asked.fields["login"]) for asked in scripted.asked) == list(range(200))
    assert len(scripted.peers) <= Reports.AT_ONCE
    assert worker.reports.lost == 0
    assert worker.recorded.lines == []


def test_no_more_wait_than_a_thousand(scripted: Scripted) -> None:
    go_on = threading.Event()

    def wait(_: str, __: dict[str, Any]) -> Any:
        go_on.wait(PATIENCE)
        return {"status": "ok"}

    scripted.say = wait
    worker = Worker(scripted)
    worker.add(Reports.AT_ONCE + Reports.MOST + 5)
    assert worker.reports.lost == 5
    go_on.set()
    worker.run()
    assert len(scripted.asked) == Reports.AT_ONCE + Reports.MOST
    assert [line for line in worker.recorded.lines if "was not told of 4 logins" in line]


def test_a_silent_service_keeps_no_worker_for_longer_than_its_time(scripted: Scripted) -> None:
    scripted.say = lambda *_: Peer.rest
    worker = Worker(scripted, timeout=0.2)
    worker.add(500)
    worker.run()
    assert worker.reports.lost == 500
    assert [line for line in worker.recorded.lines if "timed out (110: Connection timed out)" in line]


@pytest.mark.parametrize("connections", [0, 1])
def test_without_connections_nobody_is_told(scripted: Scripted, connections: int) -> None:
    worker = Worker(scripted, connections=connections)
    worker.add(3)
    if connections:
        worker.run()
    else:
        worker.loop.close()
    assert worker.reports.lost == 3
    assert worker.connections.in_use == 0
    assert [line for line in worker.recorded.lines if "was not told of" in line]


def test_who_sends_reports_sends_the_others_too_where_there_is_no_connection_for_more(scripted: Scripted) -> None:
    worker = Worker(scripted, connections=2)  # of a sender and of its question
    worker.add(5)
    worker.run()
    assert [asked.fields["login"] for asked in scripted.asked] == ["0", "1", "2", "3", "4"]
    assert (worker.reports.lost, worker.recorded.lines) == (0, [])
