"""The checks that clients must pass before they are served."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from mailworker.config.access import ALL, Rule
from mailworker.mail.admission import new_checks, refusal
from mailworker.mail.end import End
from mailworker.model import InetAddress
from tests.mail.cases import IMAP, SMTP, WITH_SIEVE, Case, all_protocols
from tests.mail.conftest import Scene
from tests.mail.crowds import limits
from tests.mail.limits.settings import limit, limits_of, settings, zone
from tests.mail.test_record import record_of
from tests.support.auth import accepted
from tests.support.backend import hang
from tests.support.settings import mail_server

NOBODY = (Rule(False, ALL),)
NOT_TEN = (Rule(False, ip_network("10.0.0.0/8")),)
FORBIDDEN = "[error] *{} access forbidden by rule while initializing session, client: {}, server: "


def test_a_server_without_rules_asks_for_nothing() -> None:
    assert new_checks(mail_server("imap")) == ()


def test_servers_with_the_same_rules_ask_for_the_same() -> None:
    first, second, third = (new_checks(mail_server("imap", access=rules)) for rules in (NOBODY, NOBODY, NOT_TEN))
    assert first == second != third


@all_protocols
def test_who_is_denied_is_told_nothing(scene: Scene, case: Case) -> None:
    proxy = scene.proxy(case.protocol, scene.auth(hang), access=NOBODY)
    assert scene.client(proxy).rest() == b""
    assert proxy.log.find("forbidden").startswith(FORBIDDEN.format(1, "127.0.0.1"))
    record = record_of(proxy)
    assert (record.reason, record.client_bytes.sent) == (End.DENIED, 0)


DENIALS = {
    "imap": b"* BYE [UNAVAILABLE] Service not available\r\n",
    "pop3": b"-ERR [SYS/TEMP] Service not available\r\n",
    "smtp": b"421 4.7.0 Service not available\r\n",
    "sieve": b'BYE (TRYLATER) "Service not available"\r\n',
}


@pytest.mark.parametrize("case", WITH_SIEVE, ids=lambda case: case.protocol)
def test_deny_reply_tells_whom_nobody_lets_in_that_there_is_no_service(scene: Scene, case: Case) -> None:
    """It is the same for a rule, a ban or a limit, as strangers need not know which."""
    kept_out: dict[str, Any] = {
        "access": NOBODY,
        "limit_auth": settings(limit(0, of=zone("$remote_addr"), ban=900.0)),
        "limit_conn": limits(("a", "$remote_addr", 1)),
    }
    for name, value in kept_out.items():
        proxy = scene.proxy(case.protocol, scene.auth(hang), deny_reply=True, **{name: value})
        if name == "limit_auth":
            limits_of(proxy)[0].table.ban(b"127.0.0.1", proxy._loop.now, 900)
        elif name == "limit_conn":
            scene.client(proxy).expect(case.greeting)
        assert scene.client(proxy).rest() == DENIALS[case.protocol]


def test_deny_reply_makes_nobody_shake_hands(scene: Scene) -> None:
    proxy = scene.tls_proxy("imap", scene.auth(hang), implicit_tls=True, access=NOBODY, deny_reply=True)
    assert scene.client(proxy).rest() == b""


@all_protocols
def test_who_is_allowed_is_served_as_ever(scene: Scene, case: Case) -> None:
    backend = scene.backend(case.script())
    proxy = scene.proxy(case.protocol, scene.auth(accepted(backend.address)), access=NOT_TEN)
    client = scene.client(proxy)
    client.expect(case.greeting)
    client.talk((case.login, case.answer))
    assert not [line for line in proxy.log.lines if "forbidden" in line or "initializing" in line]


def test_a_denied_client_costs_no_handshake(scene: Scene) -> None:
    proxy = scene.tls_proxy("imap", scene.auth(hang), implicit_tls=True, access=NOBODY)
    assert scene.client(proxy).rest() == b""
    assert record_of(proxy).reason is End.DENIED


def test_the_client_behind_a_balancer_is_judged_and_not_the_balancer(scene: Scene) -> None:
    trusted = (ip_network("127.0.0.1"),)
    proxy = scene.proxy("smtp", scene.auth(hang), access=NOT_TEN, proxy_protocol=True, real_ip_from=trusted)
    good, bad = scene.client(proxy), scene.client(proxy)
    good.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n")
    good.expect(SMTP.greeting)
    bad.send(b"PROXY TCP4 10.0.0.9 192.0.2.2 1 25\r\n")
    assert bad.rest() == b""
    assert proxy.log.find("forbidden").startswith(FORBIDDEN.format(2, "10.0.0.9"))


def test_a_header_of_a_stranger_lets_nobody_in(scene: Scene) -> None:
    rules = (Rule(True, ip_network("10.0.0.0/8")), Rule(False, ALL))
    proxy = scene.proxy("imap", scene.auth(hang), access=rules, proxy_protocol=True)
    client = scene.client(proxy)
    client.send(b"PROXY TCP4 10.0.0.9 192.0.2.2 1 25\r\n")
    assert client.rest() == b""
    assert proxy.log.find("forbidden").startswith(FORBIDDEN.format(1, "127.0.0.1"))


def test_the_first_check_that_refuses_ends_the_session(scene: Scene) -> None:
    asked: list[str] = []

    class Asked:
        quick = None

        def __init__(self, name: str, reason: End | None) -> None:
            self._name, self._reason = name, reason

        def refusal(self, client: object, record: object) -> End | None:
            asked.append(self._name)
            return self._reason

    proxy = scene.proxy("imap", scene.auth(hang))
    client = scene.client(proxy)
    client.expect(IMAP.greeting)
    client.close()
    record = record_of(proxy)
    checks = (Asked("first", None), Asked("second", End.DENIED), Asked("third", None))
    assert refusal(checks, InetAddress("127.0.0.1", 1), record) is End.DENIED
    assert asked == ["first", "second"]
