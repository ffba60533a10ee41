"""SMTP through the proxy to Exim, which knows no XCLIENT."""

from __future__ import annotations

import smtplib
from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.real.clients import Clients, Security
from tests.real.programs import Programs
from tests.real.proxy import is_oracle
from tests.support.auth_service import AuthService, accept
from tests.support.exim import Exim
from tests.support.mailbox import Account, make_message, to_wire

BIG = 100_000


@pytest.fixture
def account(account: Account, exim: Exim, auth_service: AuthService) -> Iterator[Account]:
    """An account that no other test uses, with an empty mailbox; Exim takes its mail from anybody."""
    with auth_service.moved(account.login, {"smtp": exim.smtp}):
        yield account


@pytest.fixture
def submitter(account: Account, exim: Exim, auth_service: AuthService) -> Iterator[Account]:
    """An account that Exim wants to log in."""
    with auth_service.moved(account.login, {"smtp": exim.submission}):
        yield account


def login_of(account: Account) -> str:
    """The argument of AUTH PLAIN."""
    return b64encode(f"\0{account.login}\0{account.password}".encode()).decode()


@pytest.mark.parametrize("security", [Security.NONE, Security.STARTTLS], ids=lambda s: s.value)
def test_smtplib_sends_a_message(clients: Clients, account: Account, security: Security) -> None:
    message = make_message("sent", [".", "..", "a dot above, two dots above it", *["many of them"] * BIG])
    with clients.smtp(security, "smtp_without_xclient") as client:
        client.login(account.login, account.password)
        assert client.sendmail(account.login, [account.login], to_wire(message)) == {}
    assert account.arrived().endswith(message)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("options", [[], ["--tls"], ["--pipeline"]], ids=["plain", "starttls", "pipelined"])
def test_swaks_sends_a_message(clients: Clients, account: Account, options: list[str], mechanism: str) -> None:
    body = ["--body", "sent by swaks"]
    result = clients.swaks("smtp_without_xclient", account, "--auth", mechanism, *body, *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert b"\nsent by swaks\n" in account.arrived()


def test_whole_session_may_come_in_one_piece(clients: Clients, account: Account) -> None:
    """By BDAT, as Exim wants DATA to be answered before the message comes."""
    message = make_message("in one piece", (".", "no dot is doubled"))
    chunks = [to_wire(message)[:50], to_wire(message)[50:]]
    session = (
        f"EHLO client.example.test\r\nAUTH PLAIN {login_of(account)}\r\n".encode(),
        f"MAIL FROM:<{account.login}>\r\nRCPT TO:<{account.login}>\r\n".encode(),
        b"BDAT %d\r\n%bBDAT %d LAST\r\n%bQUIT\r\n" % (len(chunks[0]), chunks[0], len(chunks[1]), chunks[1]),
    )
    replies = clients.talk("smtp_without_xclient", b"".join(session))
    final = [line[:3] for line in replies.splitlines() if line[3:4] == b" "]
    assert final == [b"220", b"250", b"235", b"250", b"250", b"250", b"250", b"221"]
    assert account.arrived().endswith(message)


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
def test_msmtp_sends(programs: Programs, account: Account, mechanism: str) -> None:
    message = make_message("by msmtp", (".", "..", "dots above"))
    result = programs.msmtp(Security.STARTTLS, mechanism, account, message, "smtp_without_xclient")
    assert result.returncode == 0, result.stderr
    assert account.arrived().endswith(message)


def test_helo_alone_will_do(clients: Clients, account: Account) -> None:
    with clients.smtp(Security.NONE, "smtp_without_xclient") as client:
        client.helo()
        assert client.docmd("AUTH", f"PLAIN {login_of(account)}")[0] == 235
        assert client.sendmail(account.login, [account.login], make_message("by SMTP as it was")) == {}
    assert b" with smtp " in account.arrived()


def test_recipient_that_the_backend_refuses_is_refused(clients: Clients, account: Account) -> None:
    with clients.smtp(Security.NONE, "smtp_without_xclient") as client:
        client.login(account.login, account.password)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail(account.login, ["elsewhere@example.org"], make_message("for relay"))
    assert refused.value.recipients == {"elsewhere@example.org": (550, b"no relay")}


def test_mail_comes_in_without_login_where_none_is_demanded(clients: Clients, account: Account) -> None:
    message = make_message("from a stranger")
    with clients.smtp(Security.NONE, "smtp_without_login_and_xclient") as client:
        client.sendmail("stranger@example.org", [account.login], to_wire(message))
    received = account.arrived()
    assert received.endswith(message)
    assert b"(envelope-from <stranger@example.org>)" in received


def test_refusal_of_what_is_handed_over_without_login_is_passed_on(clients: Clients, exim: Exim) -> None:
    with (
        clients.smtp(Security.NONE, "smtp_without_login_and_xclient") as client,
        pytest.raises(smtplib.SMTPRecipientsRefused) as refused,
    ):
        client.sendmail("stranger@example.org", ["elsewhere@example.org"], make_message("for relay"))
    assert refused.value.recipients == {"elsewhere@example.org": (550, b"no relay")}


@pytest.mark.skipif(is_oracle(), reason="nginx sends XCLIENT to backends that do not know it")
def test_a_backend_that_lists_no_xclient_is_sent_none(clients: Clients, account: Account) -> None:
    message = make_message("without XCLIENT")
    with clients.smtp(Security.NONE) as client:
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], to_wire(message))
    assert account.arrived().endswith(message)


def test_mail_of_who_has_not_logged_in_at_the_backend_is_refused(clients: Clients, submitter: Account) -> None:
    with clients.smtp(Security.NONE, "smtp_without_xclient") as client:
        client.login(submitter.login, submitter.password)
        assert client.mail(submitter.login) == (550, b"who are you?")


def test_backend_is_satisfied_where_the_proxy_logs_in_itself(clients: Clients, submitter: Account) -> None:
    message = make_message("by AUTH")
    with clients.smtp(Security.NONE, "submission_with_auth") as client:
        client.login(submitter.login, submitter.password)
        client.sendmail(submitter.login, [submitter.login], to_wire(message))
    received = submitter.arrived()
    assert received.endswith(message)
    assert b" with esmtpa " in received


@pytest.mark.skipif(is_oracle(), reason="nginx logs in after HELO, which Exim does not allow")
def test_a_client_without_ehlo_is_logged_in_too(clients: Clients, submitter: Account) -> None:
    with clients.smtp(Security.NONE, "submission_with_auth") as client:
        client.helo()
        assert client.docmd("AUTH", f"PLAIN {login_of(submitter)}")[0] == 235
        assert client.mail(submitter.login)[0] == 250


def test_password_that_needs_quoting_logs_in(
    clients: Clients, awkward_account: Account, exim: Exim, auth_service: AuthService
) -> None:
    with (
        auth_service.moved(awkward_account.login, {"smtp": exim.submission}),
        clients.smtp(Security.NONE, "submission_with_auth") as client,
    ):
        client.login(awkward_account.login, awkward_account.password)
        assert client.mail(awkward_account.login)[0] == 250


def test_refusal_of_the_login_is_passed_on(
    clients: Clients, account: Account, exim: Exim, auth_service: AuthService
) -> None:
    auth_service.script(account.login, lambda _: accept(exim.submission, password="unknown to it"))
    with clients.smtp(Security.NONE, "submission_with_auth") as client:
        client.ehlo()
        answer = client.docmd("AUTH", f"PLAIN {login_of(account)}")
    assert answer == (535, b"Incorrect authentication data")


def test_proxy_protocol_tells_the_backend_who_the_client_is(
    clients: Clients, account: Account, exim: Exim, auth_service: AuthService
) -> None:
    with (
        auth_service.moved(account.login, {"smtp": exim.smtp_haproxy}),
        clients.smtp(Security.NONE, "smtp_haproxy", source="127.0.0.47") as client,
    ):
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("by PROXY protocol"))
    assert b"[127.0.0.47]" in account.arrived()
