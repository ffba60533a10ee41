"""Dovecot and Postfix over TLS: all that goes by plain connections goes as well."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.real.backend_tls import Tail
from tests.real.clients import Clients, Security, expect_push
from tests.real.test_imap import fetch
from tests.real.test_mbsync import digests, random_lines
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message, read_maildir, to_wire
from tests.support.postfix import Postfix

pytestmark = pytest.mark.usefixtures("dovecot")

every_security = pytest.mark.parametrize("security", Security)
every_version = pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
FULL_HANDSHAKE = "TLS write certificate"
BIG = 4 * 1024 * 1024
MESSAGES = 60


def variant(version: str) -> str:
    return version.lower().replace("v", "").replace(".", "")


def imap_login(clients: Clients, server: str, account: Account) -> bytes:
    """All that the proxy says to one who logs in and out."""
    return clients.talk(server, f"a LOGIN {account.login} {account.password}\r\nb LOGOUT\r\n".encode())


def login_line(log: Tail, account: Account) -> str:
    """What Dovecot tells of a login."""
    return log.wait_for(rf"Login: user=<{re.escape(account.login)}>")


@every_security
def test_imap(tls_clients: Clients, account: Account, dovecot: Dovecot, security: Security) -> None:
    log = Tail(dovecot.log)
    message = to_wire(make_message("over TLS", ("0123456789" * 7 for _ in range(5_000))))
    with tls_clients.imap(security) as client:
        client.login(account.login, account.password)
        assert client.append("INBOX", "", "", message)[0] == "OK"
        client.select()
        assert fetch(client, 1) == message
    assert ", TLS, TLSv1.3 with cipher " in login_line(log, account)


@every_security
def test_pop3(tls_clients: Clients, account: Account, dovecot: Dovecot, security: Security) -> None:
    log = Tail(dovecot.log)
    message = make_message("over TLS")
    account.deliver(message)
    client = tls_clients.pop3(security)
    client.user(account.login)
    client.pass_(account.password)
    assert client.retr(1)[1] == message.splitlines()
    client.quit()
    assert ", TLS, TLSv1.3 with cipher " in login_line(log, account)


@pytest.mark.usefixtures("postfix")
@every_security
def test_smtp(tls_clients: Clients, account: Account, security: Security) -> None:
    message = make_message("over TLS", (".", "..", "a dot above"))
    with tls_clients.smtp(security) as client:
        client.login(account.login, account.password)
        assert client.sendmail(account.login, [account.login], to_wire(message)) == {}
    received = account.arrived()
    assert received.endswith(message)
    assert b"using TLSv1.3 with cipher " in received


@pytest.mark.usefixtures("postfix")
@pytest.mark.parametrize(
    ("server", "source", "told"),
    [("submission", "127.0.0.44", b"[127.0.0.44]"), ("submission_with_auth", "127.0.0.45", b"[127.0.0.1]")],
    ids=["XCLIENT", "AUTH"],
)
def test_postfix_is_told_inside_tls_who_sends(
    tls_clients: Clients, account: Account, server: str, source: str, told: bytes
) -> None:
    with tls_clients.smtp(Security.NONE, server, source=source) as client:
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("from afar"))
    received = account.arrived().split(b"\nFrom:")[0]
    assert told in received
    assert b"using TLSv1.3 with cipher " in received
    assert f"(Authenticated sender: {account.login})".encode() in received


@every_version
def test_dovecot_speaks_the_version_that_is_switched_on_and_resumes_sessions(
    tls_clients: Clients, account: Account, dovecot: Dovecot, version: str
) -> None:
    server = f"imap_{variant(version)}"
    for session in ("of an earlier test", "new", "resumed"):
        log = Tail(dovecot.log)
        assert b"\r\na OK " in imap_login(tls_clients, server, account), session
        assert f", TLS, {version} with cipher " in login_line(log, account)
    assert FULL_HANDSHAKE not in log.text


def test_dovecot_resumes_no_session_where_reuse_is_off(
    tls_clients: Clients, account: Account, dovecot: Dovecot
) -> None:
    for _ in range(3):
        log = Tail(dovecot.log)
        assert b"\r\na OK " in imap_login(tls_clients, "imap_no_reuse", account)
        login_line(log, account)
        assert FULL_HANDSHAKE in log.text


@every_version
def test_postfix_speaks_the_version_that_is_switched_on_and_resumes_sessions(
    tls_clients: Clients, account: Account, postfix: Postfix, version: str
) -> None:
    for _ in range(2):
        log = Tail(postfix.log)
        with tls_clients.smtp(Security.NONE, f"smtp_{variant(version)}") as client:
            client.login(account.login, account.password)
        log.wait_for(rf"TLS connection established from .*: {version} with cipher ")
    assert "Reusing old session" in log.text


@pytest.mark.parametrize("server", ["imap", "imap_by_address"])
def test_the_certificate_is_the_one_for_what_was_asked(tls_clients: Clients, account: Account, server: str) -> None:
    """By SNI Dovecot has one for a name, without it another, for its address."""
    assert b"\r\na OK " in imap_login(tls_clients, server, account)


def test_dovecot_gets_the_certificate_that_it_demands(
    tls_clients: Clients, account: Account, demanding_dovecot: Dovecot
) -> None:
    log = Tail(demanding_dovecot.log)
    assert b"\r\na OK " in imap_login(tls_clients, "imap_certified", account)
    assert ", TLS, TLSv1.3 with cipher " in login_line(log, account)


def test_dovecot_refuses_who_has_none(tls_clients: Clients, account: Account, demanding_dovecot: Dovecot) -> None:
    log = Tail(demanding_dovecot.log)
    answer = imap_login(tls_clients, "imap_uncertified", account)
    assert answer.splitlines()[1:] == [b"a NO [ALERT] Client didn't present valid SSL certificate"]
    log.wait_for(r"imap-login: Info: .*\(client didn't send a cert\): user=<>, method=PLAIN, .* TLS")


def test_who_is_not_verified_may_be_anybody(tls_clients: Clients, account: Account) -> None:
    assert b"\r\na OK " in imap_login(tls_clients, "imap_unverified", account)


def test_idle_gets_a_push(tls_clients: Clients, account: Account) -> None:
    with tls_clients.imap(Security.TLS) as client:
        expect_push(client, account)


def test_commands_pipelined_behind_the_login_reach_the_backend(tls_clients: Clients, account: Account) -> None:
    message = make_message("pipelined")
    account.deliver(message)
    login = f"a LOGIN {account.login} {account.password}\r\n".encode()
    replies = tls_clients.talk("imap", login + b"b SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\nd LOGOUT\r\n")
    assert re.findall(rb"^(\w OK|\w NO|\w BAD)", replies, re.MULTILINE) == [b"a OK", b"b OK", b"c OK", b"d OK"]
    assert to_wire(message) in replies


@pytest.mark.parametrize("security", [Security.NONE, Security.TLS])
def test_much_is_fetched_byte_for_byte(tls_clients: Clients, account: Account, security: Security) -> None:
    """TLS to the backend alone, and on both sides."""
    message = make_message("much", random_lines(random.Random(4), BIG))
    account.deliver(message)
    with tls_clients.imap(security) as client:
        client.login(account.login, account.password)
        client.select()
        for _ in range(2):
            assert fetch(client, 1) == to_wire(message)


def test_mbsync_brings_a_mailbox_through(tls_clients: Clients, account: Account, tmp_path: Path) -> None:
    source = random.Random(60)
    for number in range(MESSAGES):
        account.deliver(make_message(f"number {number}", random_lines(source, source.randrange(20_000))))
    near = tmp_path / "near" / "INBOX"
    for folder in ("cur", "new", "tmp"):
        (near / folder).mkdir(parents=True)
    (near / "new" / "1.near").write_bytes(make_message("the other way", random_lines(source, BIG // 4)))
    result = tls_clients.mbsync(account, tmp_path / "near")
    assert result.returncode == 0, result.stderr
    copies = read_maildir(near)
    assert len(copies) == MESSAGES + 1
    assert digests(copies) == digests(account.messages())
