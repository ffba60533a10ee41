from __future__ import annotations

import pytest

from mailworker.config.limit_auth import LimitAuth
from mailworker.mail.limits.guards import local_tables
from mailworker.mail.limits.limit import Limit
from mailworker.model import Level
from mailworker.variables.variables import Variables
from tests.mail.limits.settings import limit, zone
from tests.mail.limits.test_keys import Record
from tests.shm.limits import NginxLimit


class Told(Record):
    """Remembers what it is told."""

    def __init__(self, client: str, login: bytes = b"") -> None:
        super().__init__(client, login)
        self.lines: list[str] = []

    def write(self, level: Level, message: str) -> None:
        self.lines.append(f"[{level.name.lower()}] {message}")


def new(settings: LimitAuth) -> Limit:
    return Limit(settings, local_tables()(settings.zone), Variables({}), (32, 64))


def nginx_wait(excess: int, delay: int, rate: int) -> float:
    """ngx_http_limit_req_account"""
    return 0.0 if excess <= delay else (excess - delay) * 1000 // rate / 1000


@pytest.mark.parametrize(("burst", "delay", "rate"), [(5, 0, 100), (5, 2, 100), (3, 0, 1000), (20, 8, 16)])
def test_delays_are_those_of_nginx_where_all_attempts_count(burst: int, delay: int, rate: int) -> None:
    limited = new(limit(burst, delay=delay, counts_all=True, of=zone(gain=rate)))
    nginx, now = NginxLimit(rate), 10_000
    record = Told("192.0.2.7")
    for step in (0, 0, 0, 10, 400, 0, 0, 90_000, 0, 0, 0, 0, 0, 3_000):
        now += step
        excess = limited.take(b"key", record, now / 1000)
        assert excess == nginx.take(now, burst * 1000)
        if excess >= 0:
            assert limited.wait(excess) == nginx_wait(excess, delay * 1000, rate)


def test_an_attempt_is_no_failure_yet() -> None:
    limited, record = new(limit(5, delay=0)), Told("192.0.2.7")
    waits = [limited.wait(limited.take(b"key", record, 10.0)) for _ in range(4)]
    assert waits == [0.0, 0.0, 10.0, 20.0]


def test_a_ban_is_told_once() -> None:
    limited, record = new(limit(ban=90.0)), Told("192.0.2.7")
    for _ in range(3):
        limited.ban(b"key", record, 10.0, Level.NOTICE)
    assert record.lines == ['[notice] banned for 90s by zone "fail"']
    assert limited.take(b"key", record, 99.0) < 0
    assert limited.take(b"key", record, 100.0) == 0


def test_a_limit_without_ban_bans_nobody() -> None:
    limited, record = new(limit()), Told("192.0.2.7")
    limited.ban(b"key", record, 10.0, Level.ERROR)
    assert record.lines == []
    assert limited.table.banned(b"key", 10.0) == 0.0


def test_only_keys_without_the_client_s_address_trust_clients() -> None:
    by_user, by_client = new(limit(of=zone("$remote_user"))), new(limit(of=zone("$remote_addr")))
    home, elsewhere = Told("192.0.2.7", b"user"), Told("192.0.2.8", b"user")
    for limited in (by_user, by_client):
        limited.trust(b"user", home, 10.0)
    assert by_user.is_trusted(b"user", home, 20.0)
    assert not by_user.is_trusted(b"user", elsewhere, 20.0)
    assert not by_user.is_trusted(b"other", home, 20.0)
    assert not by_user.is_trusted(b"user", home, 31 * 86400.0)
    assert not by_client.is_trusted(b"user", home, 20.0)


def test_a_full_zone_is_told_now_and_then() -> None:
    limited, record = new(limit(9, of=zone(gain=1))), Told("192.0.2.7")
    for number in range(6000):
        for _ in range(2):
            limited.take(b"%d" % number, record, 10.0 + number / 400)
    assert len(record.lines) == 2
    assert all('limit_auth_zone "fail" is full' in line for line in record.lines)
