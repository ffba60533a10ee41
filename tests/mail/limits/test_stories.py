"""What users of other proxies have complained of, one test each."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from ipaddress import ip_network
from threading import Event
from time import monotonic

import pytest

from mailworker.model import AuthMethod
from mailworker.shm.attempts import ban_by_operator
from tests.mail.cases import IMAP, SMTP, WITH_SIEVE, Case
from tests.mail.conftest import Scene
from tests.mail.limits.settings import TEMPORARY, Mailbox, limit, limits_of, login, settings, zone
from tests.support.auth import accepted
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.settings import dialogue_settings

GUARDED = limit(5, ban=900.0)
SETTLED = 2.0  # seconds


def test_a_newsletter_sender_logs_in_for_each_mail(scene: Scene) -> None:
    """Limits that count successes have locked such out."""
    mailbox = Mailbox(scene, settings(GUARDED), SMTP)
    for _ in range(60):
        assert mailbox.try_to_log_in(b"secret") == SMTP.answer


def test_a_webmail_is_one_address_for_all_and_is_exempt(scene: Scene) -> None:
    webmail = "127.0.0.9"
    mailbox = Mailbox(scene, settings(GUARDED, exempt=(ip_network(webmail),)))
    for number in range(30):
        wrong = mailbox.try_to_log_in(b"wrong%d" % number, source=webmail, user=b"user%d@example.com" % number)
        assert wrong == b"a1 NO Wrong password\r\n"
        assert mailbox.try_to_log_in(b"secret", source=webmail) == IMAP.answer


def test_all_behind_a_docker_bridge_are_counted_apart_if_a_proxy_header_tells_who_they_are(scene: Scene) -> None:
    """Their connections come from the address of the bridge."""
    bridge = (ip_network("127.0.0.1"),)
    mailbox = Mailbox(scene, settings(GUARDED), proxy_protocol=True, real_ip_from=bridge)

    def attempt(address: bytes, password: bytes) -> bytes:
        client = scene.client(mailbox.proxy)
        client.send(b"PROXY TCP4 %b 192.0.2.1 1 2\r\n" % address)
        client.end() if password == b"" else client.send(login(IMAP, password))
        return client.rest() if password == b"" else client.until(IMAP.greeting) and client.until(b"\r\n")

    for number in range(6):
        attempt(b"192.0.2.7", b"guess%d" % number)
    scene.skip(SETTLED)
    assert attempt(b"192.0.2.7", b"another") == TEMPORARY["imap"]
    assert attempt(b"192.0.2.7", b"") == b""
    assert attempt(b"192.0.2.8", b"secret") == IMAP.answer


def test_a_stranger_cannot_lock_out_the_owner_of_a_mailbox(scene: Scene) -> None:
    """A limit by user slows down strangers alone: whoever has logged in from there before is let through."""
    mailbox = Mailbox(scene, settings(limit(2, of=zone("$remote_user"), ban=900.0)))
    owner, stranger = "127.0.0.7", "127.0.0.8"
    assert mailbox.try_to_log_in(b"secret", source=owner) == IMAP.answer
    answers = []
    for number in range(6):
        answers.append(mailbox.try_to_log_in(b"guess%d" % number, source=stranger))
        scene.skip(SETTLED)
    assert answers[3:] == [TEMPORARY["imap"]] * 3
    assert mailbox.try_to_log_in(b"secret", source=owner) == IMAP.answer
    assert mailbox.try_to_log_in(b"secret", source="127.0.0.9") == TEMPORARY["imap"]
    assert mailbox.try_to_log_in(b"secret", source=stranger, user=b"other@example.com") == IMAP.answer


@pytest.mark.parametrize("name", [b"user@example.com", b"user"])
def test_a_stranger_cannot_lock_out_an_owner_whose_name_the_service_returns(scene: Scene, name: bytes) -> None:
    """A stranger has got the name banned that it returns; the owner logs in by this name or another."""
    mailbox = Mailbox(scene, settings(limit(0, of=zone("$remote_user"), ban=900.0)), returned=name)
    assert mailbox.try_to_log_in(b"secret", source="127.0.0.7") == IMAP.answer
    for number in range(2):
        mailbox.try_to_log_in(b"guess%d" % number, source="127.0.0.8", user=name)
        scene.skip(SETTLED)
    assert limits_of(mailbox.proxy)[0].table.banned(name, monotonic())
    assert mailbox.try_to_log_in(b"secret", source="127.0.0.7") == IMAP.answer


def test_other_spellings_of_a_name_give_a_stranger_no_further_guesses(scene: Scene) -> None:
    """Dovecot and Cyrus take those of ASCII for one user, MariaDB all of them with its usual collations."""
    mailbox = Mailbox(scene, settings(limit(2, of=zone("$remote_user"), ban=900.0)), SMTP)
    for user in (b"user@example.com", b"User@example.com", b"USER@EXAMPLE.COM"):
        assert mailbox.try_to_log_in(b"wrong" + user, user=user) == b"535 5.7.0 Wrong password\r\n"
    scene.skip(SETTLED)
    for name in ("useR@example.com", " user@example.com ", "üser@example.com", "\uff35ser@example.com"):
        assert mailbox.try_to_log_in(b"secret", user=name.encode()) == TEMPORARY["smtp"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_banned_user_is_kept_out_by_each_name_that_the_service_takes(scene: Scene, dry_run: bool) -> None:
    """An operator sees and bans the name that the service has given; a thief may log in by an alias."""
    users = zone("$remote_user", name="user"), zone("$remote_user/$protocol", name="both")
    backend = scene.backend(IMAP.script())
    service = scene.auth(*[accepted(backend.address, (b"Auth-User", b"user@example.com"))] * 4)
    limits = settings(*(limit(9, of=each, ban=900.0) for each in users), dry_run=dry_run)
    proxy = scene.proxy("imap", service, limit_auth=limits)

    def log_in() -> bytes:
        client = scene.client(proxy)
        client.expect(IMAP.greeting)
        client.send(login(IMAP, b"secret", b"alias"))
        return client.until(b"\r\n")

    assert log_in() == IMAP.answer
    for one, key in zip(limits_of(proxy), (b"user@example.com", b"user@example.com/imap"), strict=True):
        ban_by_operator(one.table, key, monotonic(), 60.0)
        assert log_in() == (IMAP.answer if dry_run else TEMPORARY["imap"])
        assert "client is banned" in proxy.log.find(f's more by zone "{one.name}"')
        assert not any(each.table.pending(key) for each in limits_of(proxy) for key in (b"alias", b"alias/imap"))
        ban_by_operator(one.table, key, monotonic(), 0.0)
    assert log_in() == IMAP.answer


def test_failures_that_never_reach_the_service_are_counted(scene: Scene) -> None:
    mailbox = Mailbox(scene, settings(GUARDED), SMTP)
    for _ in range(6):
        client = mailbox.client()
        client.send(b"AUTH NTLM\r\n")
        assert client.until(b"\r\n") == b"500 5.5.1 Invalid command\r\n"
    client = mailbox.client()
    client.send(b"AUTH NTLM\r\n")
    assert client.until(b"\r\n") == TEMPORARY["smtp"]
    assert mailbox.is_banned()
    assert not mailbox.asked


@pytest.mark.parametrize("case", WITH_SIEVE, ids=lambda case: case.protocol)
def test_a_limit_by_address_has_its_effect_in_each_protocol(scene: Scene, case: Case) -> None:
    """One had none on IMAP for a year."""
    mailbox = Mailbox(scene, settings(GUARDED), case)
    for number in range(6):
        assert mailbox.try_to_log_in(b"guess%d" % number) != TEMPORARY[case.protocol]
    scene.skip(SETTLED)
    assert mailbox.try_to_log_in(b"another") == TEMPORARY[case.protocol]
    assert mailbox.is_banned()
    assert mailbox.asked == 6


def test_who_brings_mail_to_port_25_needs_no_login_and_is_in_no_limit(scene: Scene) -> None:
    """An address that has guessed too often may still deliver, unless it is banned."""
    methods = dialogue_settings("smtp", auth=AuthMethod.NONE | AuthMethod.PLAIN)
    mailbox = Mailbox(scene, settings(limit(1)), SMTP, dialogue=methods)
    for number in range(2):
        mailbox.try_to_log_in(b"guess%d" % number)
    scene.skip(SETTLED)
    assert mailbox.try_to_log_in(b"another") == TEMPORARY["smtp"]
    for _ in range(6):
        client = mailbox.client()
        client.send(b"HELO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n")
        assert b"535 5.7.0 Wrong password\r\n" in client.rest()  # which the service has said
    assert mailbox.asked == 8


def test_a_phone_with_an_old_password_counts_once_and_locks_nobody_out(scene: Scene) -> None:
    """The others of its office are at the same address."""
    mailbox = Mailbox(scene, settings(limit(1, ban=900.0)))
    for _ in range(30):
        assert mailbox.try_to_log_in(b"old") == b"a1 NO Wrong password\r\n"
    assert mailbox.try_to_log_in(b"secret", user=b"colleague@example.com") == IMAP.answer


def test_a_phone_that_answers_challenges_counts_each_time_and_makes_no_other_count_again(scene: Scene) -> None:
    """Nobody can tell whether two answers were made with the same password, and only four are kept in mind."""
    methods = dialogue_settings("imap", auth=AuthMethod.PLAIN | AuthMethod.CRAM_MD5)
    mailbox = Mailbox(scene, settings(limit(5, ban=900.0)), dialogue=methods)

    def answer_a_challenge() -> bytes:
        client = mailbox.client()
        client.send(b"a1 AUTHENTICATE CRAM-MD5\r\n")
        challenge = b64decode(client.until(b"\r\n").removeprefix(b"+ "))
        digest = hmac.digest(b"old", challenge, "md5").hex().encode()
        client.send(b64encode(b"user@example.com %b" % digest) + b"\r\n")
        return client.until(b"\r\n")

    wrong = b"a1 NO Wrong password\r\n"
    assert mailbox.try_to_log_in(b"old") == wrong
    assert [answer_a_challenge() for _ in range(4)] == [wrong] * 4
    assert [mailbox.try_to_log_in(b"old") for _ in range(4)] == [wrong] * 4
    assert answer_a_challenge() == wrong
    assert answer_a_challenge() == TEMPORARY["imap"]


def test_an_office_of_many_gets_in_at_once(scene: Scene) -> None:
    """All its clients come back in one moment, from one address, beside a phone with an old password."""
    mailbox = Mailbox(scene, settings(GUARDED))
    clients = [mailbox.client() for _ in range(40)]
    for number, client in enumerate(clients):
        client.send(login(IMAP, b"secret" if number % 8 else b"old"))
    answers = [client.until(b"\r\n") for client in clients]
    assert answers.count(IMAP.answer) == 35
    assert TEMPORARY["imap"] not in answers


@pytest.mark.parametrize("silent", [False, True])
def test_a_slow_service_gets_no_office_banned(scene: Scene, silent: bool) -> None:
    """What is over the limit waits for those that may be right, for a few seconds; they are no failures yet."""
    mailbox = Mailbox(scene, settings(GUARDED), timeout=600.0)
    judge, decided = mailbox.service._answers[0], Event()

    def judge_late(peer: Peer) -> None:
        assert decided.wait(PATIENCE)
        assert not isinstance(judge, bytes)
        judge(peer)

    mailbox.service.prepare(judge_late)
    *office, last = [mailbox.client() for _ in range(7)]
    for client in office:
        client.send(IMAP.login)
        mailbox.service.peer()
    last.send(IMAP.login)
    mailbox.client()  # so the proxy has read this
    scene.skip(3.0)
    while silent and last.is_silent():
        scene.skip(3.0)
    decided.set()
    assert [client.until(b"\r\n") for client in office] == [IMAP.answer] * 6
    assert last.until(b"\r\n") == (TEMPORARY["imap"] if silent else IMAP.answer)
    assert not mailbox.is_banned()


def test_of_a_dictionary_hardly_a_word_reaches_the_service(scene: Scene) -> None:
    """Ten minutes of two connections a second from an address, by the proxy's clock; honest clients go on meanwhile."""
    mailbox = Mailbox(scene, settings(GUARDED), timeout=3600.0)
    attempts = closed = 0
    while attempts < 1200:
        for _ in range(10):
            attempts += 1
            client = scene.client(mailbox.proxy, source="127.0.0.8")
            client.send(login(IMAP, b"word%d" % attempts))
            closed += not client.rest()
        scene.skip(5.0)
        if attempts % 200 == 0:
            assert mailbox.try_to_log_in(b"secret", source="127.0.0.9") == IMAP.answer
    honest = attempts // 200
    assert (mailbox.asked - honest) / attempts <= 0.01
    assert closed > 1150
