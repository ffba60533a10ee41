from __future__ import annotations

import pytest

from mailworker.config.limit_auth import LimitAuth
from mailworker.mail.limits.limit import Limit
from mailworker.model import Level
from mailworker.shm.attempts import NONE
from mailworker.variables.variables import Variables
from tests.mail.limits.settings import limit, zone
from tests.mail.limits.test_keys import Record
from tests.support.settings import limit_tables


class Told(Record):
    """Remembers what it is told."""

    def __init__(self, client: str, login: bytes = b"") -> None:
        super().__init__(client, login)
        self.lines: list[str] = []

    def write(self, level: Level, message: str) -> None:
        self.lines.append(f"[{level.name.lower()}] {message}")


def new(settings: LimitAuth) -> Limit:
    return Limit(settings, limit_tables()(settings.zone), Variables({}))


def test_a_ban_is_told_once() -> None:
    limited, record = new(limit(ban=90.0)), Told("192.0.2.7")
    for _ in range(3):
        limited.ban(b"key", record, 10.0, Level.NOTICE)
    assert record.lines == ['[notice] banned for 90s by zone "fail"']
    assert limited.table.banned(b"key", 99.0) == 1.0


def test_a_limit_without_ban_bans_nobody() -> None:
    limited, record = new(limit()), Told("192.0.2.7")
    limited.ban(b"key", record, 10.0, Level.ERROR)
    assert record.lines == []
    assert limited.table.banned(b"key", 10.0) == 0.0


@pytest.mark.parametrize(("key", "trusts"), [("$remote_user", True), ("$remote_addr", False)])
def test_only_keys_without_the_client_s_address_trust_clients(key: str, trusts: bool) -> None:
    assert new(limit(of=zone(key))).rule.trusts is trusts


def test_a_limit_that_only_holds_penalties_counts_nothing() -> None:
    settings = limit(3)
    assert Limit(settings, limit_tables()(settings.zone), Variables({}), counts=False).rule.burst == NONE
    assert new(settings).rule.burst == 3000


def test_a_full_zone_is_logged_once_in_ten_seconds() -> None:
    limited, record = new(limit(9, of=zone(gain=1))), Told("192.0.2.7")
    for number in range(6000):
        for _ in range(2):
            limited.table.take(b"%d" % number, 10.0 + number / 400, 9000)
        limited.complain(record, 10.0 + number / 400)
    assert len(record.lines) == 2
    assert all('limit_auth_zone "fail" is full' in line for line in record.lines)
