from __future__ import annotations

import re
from ipaddress import ip_network
from math import inf
from typing import Any

import pytest

from mailworker.config.access_log import On
from mailworker.config.source import ByBackendSettings
from mailworker.mail.end import End
from mailworker.model import AuthMethod, Level
from tests.mail.cases import IMAP, POP3, SMTP, WITH_SIEVE, Case
from tests.mail.conftest import Scene
from tests.mail.limits.settings import TEMPORARY, Mailbox, delay, limit, limits_of, login, settings, zone
from tests.support.auth import rejected
from tests.support.backend import conversation, hang_up
from tests.support.peer import Peer
from tests.support.settings import NOWHERE, access_log, dialogue_settings, proxy_pass, proxy_settings

WRONG = b"a1 NO Wrong password\r\n"
ALL_SETTLED = 2.0  # seconds


def guess(mailbox: Mailbox, count: int, **changes: Any) -> list[bytes]:
    """Wrong passwords, each another one."""
    return [mailbox.try_to_log_in(b"guess%d" % (mailbox.asked * 100 + number), **changes) for number in range(count)]


@pytest.mark.parametrize("case", WITH_SIEVE, ids=lambda case: case.protocol)
def test_who_is_over_the_limit_hears_that_it_is_temporary_and_nobody_is_asked(scene: Scene, case: Case) -> None:
    mailbox = Mailbox(scene, settings(limit(2)), case)
    assert not set(guess(mailbox, 3)) & set(TEMPORARY.values())
    scene.skip(ALL_SETTLED)
    assert guess(mailbox, 1) == [TEMPORARY[case.protocol]]
    assert mailbox.asked == 3
    line = mailbox.proxy.log.find("limiting")
    assert re.match(r'\[error\] \*\d+ limiting requests, excess: 2\.\d{3} by zone "fail" while in http auth', line)
    scene.skip(10.0)
    assert guess(mailbox, 1)[0] not in TEMPORARY.values()
    assert mailbox.asked == 4


def test_the_session_ends_with_the_refusal(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(0)))
    guess(mailbox, 1)
    scene.skip(ALL_SETTLED)
    client = mailbox.client()
    client.send(b"a1 LOGIN user@example.com other\r\na2 NOOP\r\n")
    assert client.rest() == TEMPORARY["imap"]
    assert End.LIMIT_AUTH in [record.reason for record in mailbox.proxy.ended]


def test_successes_do_not_count(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(0)))
    for _ in range(5):
        assert mailbox.try_to_log_in(b"secret") == IMAP.answer
    assert guess(mailbox, 1) == [WRONG]


def test_all_attempts_count_where_that_is_asked_for(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(1, counts_all=True)))
    answers = [mailbox.try_to_log_in(b"secret") for _ in range(3)]
    assert answers == [IMAP.answer, IMAP.answer, TEMPORARY["imap"]]


def test_attempts_at_one_time_let_no_more_through_than_one_after_the_other(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(2)))
    clients = [mailbox.client() for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(login(IMAP, b"guess%d" % number))
    answers = [client.until(b"\r\n") for client in clients]
    assert answers.count(WRONG) == mailbox.asked == 3
    assert answers.count(TEMPORARY["imap"]) == 17


def test_successes_at_one_time_wait_for_each_other_and_all_get_in(scene: Scene) -> None:
    """An office whose clients come back at once, as after a restart."""
    log = access_log(b"$limit_auth_status")
    mailbox = Mailbox(scene, settings(limit(2, ban=900.0)), access_log=log)
    clients = [mailbox.client() for _ in range(20)]
    for client in clients:
        client.send(IMAP.login)
    for client in clients:
        client.expect(IMAP.answer)
    mailbox.leave()
    assert mailbox.proxy.lines.of() == [b"PASSED\n"] * 20
    assert not [line for line in mailbox.proxy.log.lines if "limiting" in line]


def test_a_fault_of_others_does_not_count(scene: Scene) -> None:
    """The auth service is away, or says for itself that it is its own fault."""
    service = scene.auth(hang_up, rejected(b"Later", (b"Auth-Error-Code", b"454 4.7.0")), rejected(b"Wrong password"))
    proxy = scene.proxy("smtp", service, limit_auth=settings(limit(0)))
    for _ in range(2):
        client = scene.client(proxy)
        client.expect(SMTP.greeting)
        client.send(login(SMTP, b"guess"))
        assert client.rest()
    client = scene.client(proxy)
    client.expect(SMTP.greeting)
    client.send(login(SMTP, b"guess"))
    assert client.until(b"\r\n") == b"535 5.7.0 Wrong password\r\n"


@pytest.mark.parametrize("code", [b"UNAVAILABLE", b"LIMIT", b"INUSE"])
def test_a_temporary_refusal_by_a_backend_neither_counts_nor_waits(scene: Scene, code: bytes) -> None:
    backend = scene.backend(conversation(b"* OK backend\r\n", b"a1 NO [%b] later\r\n" % code))
    to = proxy_settings(backend=proxy_pass(backend.address))
    limits = settings(limit(0), delay=delay(3600.0, inf))
    proxy = scene.proxy("imap", NOWHERE, source=ByBackendSettings(), proxy=to, limit_auth=limits)
    for password in (b"one", b"two"):
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.send(login(IMAP, password))
        assert client.line().startswith(b"a1 NO [%b] " % code)
    assert len(backend.peers) == 2


def test_who_leaves_before_the_answer_is_counted(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(0)))

    def wait_for_ever(peer: Peer) -> None:
        peer.rest()

    mailbox.service._answers = [wait_for_ever]
    client = mailbox.client()
    client.send(login(IMAP, b"guess"))
    mailbox.service.peer()
    client.reset()
    another = mailbox.client()
    another.send(login(IMAP, b"guess"))
    while another.is_silent():  # the proxy does not know yet that it has left
        scene.skip(3.0)
    another.expect(TEMPORARY["imap"])


def test_smtp_without_authentication_is_no_attempt(scene: Scene) -> None:
    auth = dialogue_settings("smtp", auth=AuthMethod.NONE | AuthMethod.PLAIN)
    mailbox = Mailbox(scene, settings(limit(0)), SMTP, dialogue=auth)
    for _ in range(3):
        client = mailbox.client()
        client.send(b"HELO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n")
        assert b"535 5.7.0 Wrong password\r\n" in client.rest()
    assert mailbox.asked == 3
    assert guess(mailbox, 1)[0].startswith(b"535")


# Bans


def test_who_goes_on_is_refused_at_accept(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(1, ban=900.0)))
    guess(mailbox, 2)
    scene.skip(ALL_SETTLED)
    assert guess(mailbox, 1) == [TEMPORARY["imap"]]
    assert "[error]" in mailbox.proxy.log.find('banned for 900s by zone "fail"')
    assert mailbox.is_banned()
    assert mailbox.proxy.log.find("client is banned").startswith("[info]")
    assert mailbox.try_to_log_in(b"secret", source="127.0.0.2") == IMAP.answer
    assert End.BANNED in [record.reason for record in mailbox.proxy.ended]
    scene.skip(890.0)
    assert mailbox.is_banned()
    scene.skip(20.0)
    assert mailbox.try_to_log_in(b"secret") == IMAP.answer


def test_a_ban_costs_no_handshake(scene: Scene) -> None:
    limits = settings(limit(0, of=zone("$remote_addr"), ban=900.0))
    service = scene.auth(rejected(b"no"))
    proxy = scene.tls_proxy("imap", service, implicit_tls=True, limit_auth=limits)
    limits_of(proxy)[0].table.ban(b"127.0.0.1", _now(proxy), 900)
    client = scene.client(proxy)
    assert client.rest() == b""


def _now(proxy: Any) -> float:
    now: float = proxy._loop.now
    return now


def test_a_banned_client_cannot_log_in_in_an_open_session(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(1, ban=900.0)), timeout=600.0)
    client = mailbox.client()
    guess(mailbox, 2)
    scene.skip(ALL_SETTLED)
    guess(mailbox, 1)
    scene.skip(60.0)
    client.send(IMAP.login)
    assert client.rest() == TEMPORARY["imap"]


def test_the_client_behind_a_balancer_is_banned_and_not_the_balancer(scene: Scene) -> None:
    mailbox = Mailbox(
        scene, settings(limit(0, ban=900.0)), POP3, proxy_protocol=True, real_ip_from=(ip_network("127.0.0.1"),)
    )

    def come(client: bytes) -> Peer:
        peer = scene.client(mailbox.proxy)
        peer.send(b"PROXY TCP4 %b 192.0.2.1 1 2\r\n" % client)
        return peer

    def say(client: bytes, password: bytes) -> bytes:
        peer = come(client)
        peer.expect(POP3.greeting)
        peer.send(login(POP3, password))
        return peer.until(b"\r\n")

    assert say(b"192.0.2.7", b"a") == b"-ERR Wrong password\r\n"
    scene.skip(ALL_SETTLED)
    assert say(b"192.0.2.7", b"b") == TEMPORARY["pop3"]
    assert come(b"192.0.2.7").rest() == b""
    assert say(b"192.0.2.8", b"secret") == POP3.answer


def test_a_key_of_several_variables_is_that_of_the_attempt_at_hand(scene: Scene) -> None:
    key = zone("$binary_remote_prefix$remote_user/$auth_user/$auth_method")
    mailbox = Mailbox(scene, settings(limit(0, of=key)))
    users = [b"a@example.com", b"b@example.com", b"c@example.com"]
    assert [mailbox.try_to_log_in(b"x", user=user) for user in users] == [WRONG] * 3
    assert [mailbox.try_to_log_in(b"y", user=user) for user in users] == [TEMPORARY["imap"]] * 3


# Other settings


def test_exempt_networks_are_in_no_limit(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(0, ban=900.0), exempt=(ip_network("127.0.0.2"), "unix:")))
    assert guess(mailbox, 5, source="127.0.0.2") == [WRONG] * 5
    assert guess(mailbox, 1) == [WRONG]


def test_a_dry_run_refuses_nobody_and_says_whom_it_would(scene: Scene) -> None:
    limits = settings(limit(0, ban=900.0), dry_run=True, log_level=Level.NOTICE)
    mailbox = Mailbox(scene, limits, access_log=access_log(b"$limit_auth_status $limit_auth_zone"))
    guess(mailbox, 1)
    scene.skip(ALL_SETTLED)
    assert guess(mailbox, 2) == [WRONG] * 2
    assert mailbox.proxy.log.find("limiting").startswith("[notice]")
    assert "limiting requests, dry run, excess: 0." in mailbox.proxy.log.find("limiting")
    mailbox.leave()
    statuses = [line.split() for line in mailbox.proxy.lines.of()]
    assert sorted(statuses) == [[b"PASSED", b"fail"], [b"REJECTED_DRY_RUN", b"fail"], [b"REJECTED_DRY_RUN", b"fail"]]
    assert mailbox.try_to_log_in(b"secret") == IMAP.answer


def test_attempts_are_delayed_by_those_before_them(scene: Scene) -> None:
    log = access_log(b"$limit_auth_status")
    mailbox = Mailbox(scene, settings(limit(5, delay=0)), access_log=log, counted=True)
    guess(mailbox, 2)
    client = mailbox.client()
    client.send(login(IMAP, b"guess3"))
    assert client.is_silent(0.2)
    scene.skip(5.0)
    assert client.is_silent(0.1)
    scene.skip(6.0)
    assert client.until(b"\r\n") == WRONG
    line = mailbox.proxy.log.find("delaying")
    assert re.match(r'\[warn\] \*\d+ delaying request, excess: (1\.9|2\.0)\d\d, by zone "fail" while', line)
    assert mailbox.proxy.counts()["limit_delayed fail"] == 1
    mailbox.leave()
    assert sorted(mailbox.proxy.lines.of()) == [b"DELAYED\n", b"PASSED\n", b"PASSED\n"]


@pytest.mark.parametrize("leaves", ["at once", "after a while"])
def test_who_leaves_while_delayed_has_made_no_guess(scene: Scene, leaves: str) -> None:
    """Else clients with less patience than the delay keep their network at the limit for ever."""
    mailbox = Mailbox(scene, settings(limit(5, delay=0)))
    guess(mailbox, 2)
    (limited,) = limits_of(mailbox.proxy)
    for _ in range(3):
        client = mailbox.client()
        client.send(login(IMAP, b"secret"))
        assert client.is_silent(0.1)
        assert limited.table.pending(b"\x7f\0\0\1") == 1
        if leaves == "after a while":
            scene.skip(3.0)
        client.close()
        mailbox.proxy.service_is_idle()
        assert limited.table.pending(b"\x7f\0\0\1") == 0
    assert mailbox.asked == 2
    lines = [line for line in mailbox.proxy.log.lines if "delaying" in line]
    assert len(lines) == 3
    assert all(re.search(r"excess: [12]\.\d\d\d, by zone", line) for line in lines), lines


def test_who_would_be_delayed_is_refused_where_enough_are_held_back(scene: Scene) -> None:
    """Else a flood would pass by the delay. It has not been asked about, so it does not count."""
    mailbox = Mailbox(scene, settings(limit(5, delay=0, ban=900.0)), worker_connections=10)
    guess(mailbox, 2)
    delayed = mailbox.client()
    delayed.send(login(IMAP, b"secret"))
    assert delayed.is_silent(0.2)
    (limited,) = limits_of(mailbox.proxy)
    for _ in range(3):
        assert guess(mailbox, 1) == [TEMPORARY["imap"]]
        assert limited.table.pending(b"\x7f\0\0\1") == 1
    scene.skip(30.0)
    delayed.expect(IMAP.answer)


def test_a_dry_run_delays_nobody_and_says_whom_it_would(scene: Scene) -> None:
    log = access_log(b"$limit_auth_status")
    slow = limit(5, of=zone(gain=1), delay=0)
    mailbox = Mailbox(scene, settings(slow, dry_run=True), access_log=log, counted=True)
    assert guess(mailbox, 3) == [WRONG] * 3
    assert "delaying request, dry run, excess: 2.000, by zone" in mailbox.proxy.log.find("delaying")
    mailbox.leave()
    assert sorted(mailbox.proxy.lines.of()) == [b"DELAYED_DRY_RUN\n", b"PASSED\n", b"PASSED\n"]
    counts = mailbox.proxy.counts()
    assert (counts["limit_dry_run fail"], counts.get("limit_delayed fail", 0)) == (1, 0)


def test_several_limits_count_together_or_not_at_all(scene: Scene) -> None:
    user = zone("$remote_user", name="user")
    mailbox = Mailbox(scene, settings(limit(9), limit(1, of=user)))
    guess(mailbox, 2)
    scene.skip(ALL_SETTLED)
    assert guess(mailbox, 4) == [TEMPORARY["imap"]] * 4
    assert mailbox.asked == 2
    assert 'zone "user"' in mailbox.proxy.log.find("limiting")
    answers = guess(mailbox, 8, user=b"other@example.com")
    assert answers[:2] == [WRONG] * 2
    assert mailbox.asked == 4


def test_an_empty_key_is_not_counted(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(limit(0, of=zone("$imap_id"))))
    assert guess(mailbox, 4) == [WRONG] * 4


def test_the_access_log_names_the_limit(scene: Scene) -> None:
    text = b"$log_event $session_end $status $limit_auth_status $limit_auth_zone $remote_prefix"
    form = access_log(text, On.ALL)
    mailbox = Mailbox(scene, settings(limit(0, ban=900.0)), access_log=form)
    guess(mailbox, 1)
    scene.skip(ALL_SETTLED)
    guess(mailbox, 1)
    assert mailbox.is_banned()
    mailbox.leave()
    lines = [b" ".join(line.split()) for line in mailbox.proxy.lines.of()]
    assert sorted(lines) == [
        b"end auth_failed 403 PASSED fail 127.0.0.1",
        b"end banned 403 BANNED fail 127.0.0.1",
        b"end limit_auth 503 REJECTED fail 127.0.0.1",
        b"failure - 403 PASSED fail 127.0.0.1",
        b"failure - 503 REJECTED fail 127.0.0.1",
    ]


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_limits_do_is_counted(scene: Scene, dry_run: bool) -> None:
    mailbox = Mailbox(scene, settings(limit(0, ban=900.0), dry_run=dry_run), counted=True)
    guess(mailbox, 1)
    scene.skip(ALL_SETTLED)
    guess(mailbox, 1)
    assert mailbox.is_banned() is not dry_run
    mailbox.leave()
    counts = mailbox.proxy.counts()
    assert {name: value for name, value in counts.items() if name.startswith("limit")} == (
        {"limit_dry_run fail": 1} if dry_run else {"limit_rejected fail": 1, "limit_banned fail": 1}
    )


def test_a_full_zone_is_told_and_lets_nobody_in_without_a_word(scene: Scene) -> None:
    key = zone("$remote_user", gain=1)
    mailbox = Mailbox(scene, settings(limit(0, of=key)))
    (limited,) = limits_of(mailbox.proxy)
    for number in range(5000):
        for _ in range(2):
            limited.table.take(b"%d" % number, _now(mailbox.proxy), 9000)
    guess(mailbox, 1)
    assert re.match(
        r'\[warn\] .* limit_auth_zone "fail" is full, \d+ keys that still counted had to go',
        mailbox.proxy.log.find("is full"),
    )
    scene.skip(ALL_SETTLED)
    assert guess(mailbox, 1) == [TEMPORARY["imap"]]


def test_without_limits_there_is_no_guard(scene: Scene) -> None:
    proxy = scene.proxy("imap", scene.auth(rejected(b"no")))
    assert proxy.service.servers[0].guard is None
    assert not proxy.service.servers[0].has_variables


@pytest.mark.parametrize(("key", "asks"), [("$remote_addr", False), ("$remote_addr$protocol", True)])
def test_only_keys_that_not_every_session_knows_ask_for_variables(scene: Scene, key: str, asks: bool) -> None:
    mailbox = Mailbox(scene, settings(limit(0, of=zone(key))))
    assert mailbox.proxy.service.servers[0].has_variables is asks
    assert guess(mailbox, 1) == [WRONG]
    scene.skip(ALL_SETTLED)
    assert guess(mailbox, 1) == [TEMPORARY["imap"]]
