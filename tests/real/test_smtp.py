"""SMTP through the proxy to Postfix."""

from __future__ import annotations

import smtplib
from base64 import b64encode
from pathlib import Path

import pytest

from tests.real.clients import Clients, Security
from tests.support.auth_service import AuthService, accept, reject
from tests.support.mailbox import Account, make_message, to_wire
from tests.support.postfix import Postfix

pytestmark = pytest.mark.usefixtures("postfix")

every_security = pytest.mark.parametrize("security", Security)


def login_of(account: Account) -> bytes:
    """The argument of AUTH PLAIN."""
    return b64encode(f"\0{account.login}\0{account.password}".encode())


@every_security
def test_smtplib_sends_a_message(clients: Clients, account: Account, security: Security) -> None:
    message = make_message("sent", (".", "..", "a dot above, two dots above it"))
    with clients.smtp(security) as client:
        client.login(account.login, account.password)
        assert client.sendmail(account.login, [account.login], to_wire(message)) == {}
    assert account.arrived().endswith(message)


@every_security
def test_curl_sends_a_message(clients: Clients, account: Account, security: Security, tmp_path: Path) -> None:
    message = make_message("sent by curl")
    (tmp_path / "message").write_bytes(to_wire(message))
    scheme = "smtps" if security is Security.TLS else "smtp"
    envelope = ["--mail-from", account.login, "--mail-rcpt", account.login]
    upload = ["--upload-file", str(tmp_path / "message")]
    result = clients.curl(scheme + "://{address}/client.example.test", security, account, *envelope, *upload)
    assert result.returncode == 0, result.stderr
    assert account.arrived().endswith(message)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize(
    ("server", "protection"),
    [("smtp", []), ("smtp", ["--tls"]), ("smtps", ["--tls-on-connect"])],
    ids=["plain", "starttls", "tls"],
)
def test_swaks_sends_a_message(
    clients: Clients, account: Account, server: str, protection: list[str], mechanism: str
) -> None:
    result = clients.swaks(server, account, "--auth", mechanism, "--body", "sent by swaks", *protection)
    assert result.returncode == 0, result.stdout + result.stderr
    assert b"\nsent by swaks\n" in account.arrived()


def test_swaks_sends_pipelined(clients: Clients, account: Account) -> None:
    result = clients.swaks("smtp", account, "--auth", "PLAIN", "--pipeline", "--body", "sent in one go")
    assert result.returncode == 0, result.stdout + result.stderr
    assert b"\nsent in one go\n" in account.arrived()


def test_whole_session_may_come_in_one_piece(clients: Clients, account: Account) -> None:
    message = make_message("in one piece")
    address = account.login.encode()
    session = (
        b"EHLO client.example.test\r\nAUTH PLAIN %s\r\n" % login_of(account),
        b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n%s.\r\nQUIT\r\n" % (address, address, to_wire(message)),
    )
    replies = clients.talk("smtp", b"".join(session))
    final = [line[:3] for line in replies.splitlines() if line[3:4] == b" "]
    assert final == [b"220", b"250", b"235", b"250", b"250", b"354", b"250", b"221"]
    assert account.arrived().endswith(message)


@every_security
@pytest.mark.parametrize(
    ("mechanism", "method"), [("PLAIN", "auth_plain"), ("LOGIN", "auth_login"), ("CRAM-MD5", "auth_cram_md5")]
)
def test_wrong_password_is_refused(
    clients: Clients, account: Account, security: Security, mechanism: str, method: str
) -> None:
    with clients.smtp(security) as client:
        client.ehlo()
        client.user, client.password = account.login, "wrong"
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.auth(mechanism, getattr(client, method))
    assert (refused.value.smtp_code, refused.value.smtp_error) == (535, b"5.7.0 Invalid login or password")


def test_error_code_of_the_auth_service_is_used(clients: Clients, account: Account, auth_service: AuthService) -> None:
    auth_service.script(account.login, lambda _: reject("Mailbox is moving", code="454 4.7.0"))
    with clients.smtp(Security.NONE) as client:
        client.ehlo()
        answer = client.docmd("AUTH", f"PLAIN {login_of(account).decode()}")
    assert answer == (454, b"4.7.0 Mailbox is moving")


def test_mail_without_login_is_refused(clients: Clients, account: Account) -> None:
    with clients.smtp(Security.NONE) as client, pytest.raises(smtplib.SMTPSenderRefused) as refused:
        client.sendmail(account.login, [account.login], make_message("nobody's"))
    assert (refused.value.smtp_code, refused.value.smtp_error) == (530, b"5.7.1 Authentication required")


def test_login_without_tls_is_refused_where_starttls_is_demanded(clients: Clients, account: Account) -> None:
    with clients.smtp(Security.NONE, "submission") as client:
        client.ehlo()
        assert not client.has_extn("auth")
        answer = client.docmd("AUTH", f"PLAIN {login_of(account).decode()}")
    assert answer == (500, b"5.5.1 Invalid command")


@pytest.mark.parametrize(
    ("security", "server", "told"),
    [
        (Security.STARTTLS, "submission", b"[127.0.0.44]"),  # by XCLIENT
        (Security.NONE, "submission_with_auth", b"[127.0.0.1]"),  # the proxy logs in itself
    ],
)
def test_the_backend_learns_the_login_by_xclient_with_the_address_or_by_auth_without(
    clients: Clients, account: Account, security: Security, server: str, told: bytes
) -> None:
    with clients.smtp(security, server, source="127.0.0.44") as client:
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("from afar"))
    received = account.arrived().split(b"\nFrom:")[0]
    assert told in received
    assert f"(Authenticated sender: {account.login})".encode() in received


def test_error_of_the_backend_is_passed_on(
    clients: Clients, account: Account, auth_service: AuthService, postfix: Postfix
) -> None:
    auth_service.script(account.login, lambda _: accept(postfix.submission, password="unknown to the backend"))
    with clients.smtp(Security.NONE, "submission_with_auth") as client:
        client.ehlo()
        code, text = client.docmd("AUTH", f"PLAIN {login_of(account).decode()}")
    assert code == 535
    assert text.startswith(b"5.7.8 Error: authentication failed")


def test_mail_comes_in_without_login_where_none_is_demanded(
    clients: Clients, account: Account, auth_service: AuthService
) -> None:
    message = make_message("from a stranger")
    with clients.smtp(Security.NONE, "smtp_without_login", source="127.0.0.46") as client:
        client.sendmail("stranger@example.org", [account.login], to_wire(message))
    received = account.arrived()
    assert received.endswith(message)
    assert b"[127.0.0.46]" in received
    (request,) = [asked for asked in auth_service.requests if asked.header("Client-IP") == "127.0.0.46"]
    assert request.header("Auth-Method") == "none"
    sender = request.header("Auth-SMTP-From").lower()  # as sent, which Pythons spell in two ways
    assert sender.startswith("mail from:<stranger@example.org>")
    assert request.header("Auth-SMTP-To").lower() == f"rcpt to:<{account.login}>"


def test_recipient_that_the_backend_refuses_is_refused(clients: Clients) -> None:
    with (
        clients.smtp(Security.NONE, "smtp_without_login") as client,
        pytest.raises(smtplib.SMTPRecipientsRefused) as refused,
    ):
        client.sendmail("stranger@example.org", ["elsewhere@example.org"], make_message("for relay"))
    assert refused.value.recipients["elsewhere@example.org"][0] == 554


def test_proxy_protocol_tells_the_backend_who_the_client_is(clients: Clients, account: Account) -> None:
    with clients.smtp(Security.NONE, "smtp_haproxy", source="127.0.0.47") as client:
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("by PROXY protocol"))
    assert b"[127.0.0.47]" in account.arrived()
