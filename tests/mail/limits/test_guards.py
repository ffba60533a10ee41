from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailworker.event.loop import Loop
from mailworker.mail.limits.guards import Guards
from tests.mail.limits.settings import delay, limit, settings, zone
from tests.support.settings import limit_tables, mail_server


@pytest.fixture
def guards() -> Iterator[Guards]:
    loop = Loop(lambda bug: None)
    yield Guards(loop, 512, limit_tables(), None)
    loop.close()


def test_a_server_without_limits_has_no_guard(guards: Guards) -> None:
    assert guards.of(mail_server("imap")) is None


def test_servers_of_one_zone_count_together(guards: Guards) -> None:
    first, second = (guards.of(mail_server(name, limit_auth=settings(limit(9)))) for name in ("imap", "pop3"))
    assert first is not None
    assert second is not None
    first.limits[0].table.take(b"key", 10.0, 9000)
    assert second.limits[0].table.take(b"key", 10.0, 9000) == 1000


def test_bans_are_checked_at_accept_if_their_key_is_known_then(guards: Guards) -> None:
    banning, other = settings(limit(ban=9.0)), settings(limit(), limit(of=zone("$remote_user", name="user"), ban=9.0))
    for limits, count in ((banning, 1), (other, 0), (settings(delay=delay()), 0)):
        guard = guards.of(mail_server("imap", limit_auth=limits))
        assert guard is not None
        assert len(guard.checks) == count


def test_servers_that_ask_the_same_have_equal_checks(guards: Guards) -> None:
    same = settings(limit(ban=9.0))
    found = [guards.of(mail_server("imap", limit_auth=each)) for each in (same, same, replace(same, dry_run=True))]
    first, second, third = (guard.checks for guard in found if guard is not None)
    assert first == second != third
    assert len({first, second, third}) == 2
