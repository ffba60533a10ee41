"""Real Dovecot and Postfix that decide about logins themselves: no HTTP service, and no open relay."""

from __future__ import annotations

import imaplib
import os
import poplib
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.clients import Clients, Security, run
from tests.real.proxy import Proxy, is_oracle, running, values_for
from tests.support.certificates import CertificateAuthority
from tests.support.daemon import wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message, to_wire
from tests.support.postfix import Postfix

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx cannot leave it to the backend")

# In front of one Dovecot and one Postfix: what a person with one mail server writes.
CONFIGURATION = """\
error_log error.log info;
pid proxy.pid;
events {}
mail {
    auth_upstream on;
    smtp_capabilities PIPELINING;
    ssl_certificate $certificate;
    ssl_certificate_key $key;
    server { listen 127.0.0.1:$imap; protocol imap; starttls on; proxy_pass 127.0.0.1:$imap_backend; }
    server { listen 127.0.0.1:$imaps ssl; protocol imap; proxy_pass 127.0.0.1:$imap_backend; }
    server { listen 127.0.0.1:$pop3; protocol pop3; starttls on; proxy_pass 127.0.0.1:$pop3_backend; }
    server { listen 127.0.0.1:$pop3s ssl; protocol pop3; proxy_pass 127.0.0.1:$pop3_backend; }
    server { listen 127.0.0.1:$smtp; protocol smtp; starttls on; proxy_pass 127.0.0.1:$submission_backend; }
    server { listen 127.0.0.1:$smtps ssl; protocol smtp; proxy_pass 127.0.0.1:$submission_backend; }
    server { listen 127.0.0.1:$port_25; protocol smtp; proxy_pass 127.0.0.1:$smtp_backend; }
    server { listen 127.0.0.1:$silent; protocol smtp; xclient off; proxy_pass 127.0.0.1:$submission_backend; }
    server { listen 127.0.0.1:$trusted; protocol smtp; proxy_pass 127.0.0.1:$trusting_backend; }
    server { listen 127.0.0.1:$trusted_silent; protocol smtp; xclient off; proxy_pass 127.0.0.1:$trusting_backend; }
}
"""

SMTP_SERVERS = ("smtp", "port_25", "silent", "trusted", "trusted_silent")


@pytest.fixture(scope="module")
def proxy(folder: Path, authority: CertificateAuthority, dovecot: Dovecot, postfix: Postfix) -> Iterator[Proxy]:
    path = folder / "upstream"
    with running(path, CONFIGURATION, values_for(path, authority, dovecot, postfix)) as server:
        yield server


@pytest.fixture(scope="module")
def clients(proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(proxy, authority)


every_security = pytest.mark.parametrize("security", Security)


@every_security
def test_imap_clients_log_in_and_may_try_again(clients: Clients, account: Account, security: Security) -> None:
    account.deliver(make_message("hello"))
    client = clients.imap(security)
    for login in (account.login, "nobody@example.test"):
        with pytest.raises(imaplib.IMAP4.error, match=r"\[AUTHENTICATIONFAILED\] Authentication failed"):
            client.login(login, "wrong")
    client.login(account.login, account.password)
    assert client.select("INBOX") == ("OK", [b"1"])
    client.logout()


def test_passwords_that_need_quoting_or_are_too_long_for_a_command_reach_dovecot(
    clients: Clients, awkward_account: Account, lengthy_account: Account
) -> None:
    for account in (awkward_account, lengthy_account):
        name, password = account.login.encode(), account.password.encode()
        said = b"a LOGIN {%d+}\r\n%b {%d+}\r\n%b\r\nb LOGOUT\r\n" % (len(name), name, len(password), password)
        assert b"\r\na OK " in clients.talk("imap", said)


@every_security
def test_pop3_clients_log_in_and_may_try_again(clients: Clients, account: Account, security: Security) -> None:
    client = clients.pop3(security)
    client.user(account.login)
    with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\] Authentication failed"):
        client.pass_("wrong")
    client.user(account.login)
    assert client.pass_(account.password).startswith(b"+OK")
    assert client.stat() == (0, 0)
    client.quit()


@every_security
def test_smtp_clients_send_when_they_have_logged_in(clients: Clients, account: Account, security: Security) -> None:
    message = make_message("sent")
    with clients.smtp(security) as client:
        client.ehlo()
        assert client.docmd("AUTH", "PLAIN AHVzZXIAd3Jvbmc=")[0] == 535
        client.login(account.login, account.password)
        assert client.sendmail(account.login, [account.login], to_wire(message)) == {}
    arrived = account.arrived()
    assert f"(Authenticated sender: {account.login})".encode() in arrived


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("server", ["smtp", "silent"])
def test_swaks_sends_with_a_password(clients: Clients, account: Account, server: str, mechanism: str) -> None:
    result = clients.swaks(server, account, "--auth", mechanism, "--body", "sent by swaks")
    assert result.returncode == 0, result.stdout + result.stderr
    wait_until(lambda: account.arrivals() > 0, "the delivery")


@pytest.mark.parametrize("server", SMTP_SERVERS)
@pytest.mark.parametrize("recipient", ["account", "somebody@elsewhere.example"])
def test_swaks_without_auth_never_gets_a_recipient_taken(
    clients: Clients, proxy: Proxy, account: Account, server: str, recipient: str
) -> None:
    """Also where Postfix would take mail to anywhere from this machine, and XCLIENT as well."""
    host, port = proxy.address(server)
    to = account.login if recipient == "account" else recipient
    where = ("--server", host, "--port", str(port), "--from", "a@client.example", "--to", to)
    wrong = ("--auth-optional", "PLAIN", "--auth-user", account.login, "--auth-password", "wrong")
    tls = (("--tls",), ("--tls", *wrong)) if server == "smtp" else ()
    for options in ((), ("--pipeline",), ("--protocol", "SMTP"), wrong, *tls):
        result = run("swaks", "--config", os.devnull, *where, *options)
        transcript = result.stdout.decode()
        assert result.returncode != 0, transcript
        _, asked, answered = transcript.partition("> MAIL")
        codes = re.findall(r"^<\S*\s+([0-9]{3}) ", answered, re.MULTILINE)
        assert asked and codes and all(code.startswith("5") or code == "221" for code in codes), transcript
    assert account.arrivals() == 0


@pytest.mark.parametrize("recipient", ["account", "somebody@elsewhere.example"])
def test_the_same_postfix_takes_it_from_who_comes_past_the_proxy(
    postfix: Postfix, account: Account, recipient: str
) -> None:
    """Else the test before this one could not fail."""
    to = account.login if recipient == "account" else recipient
    with smtplib.SMTP(*postfix.trusting) as client:
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<a@client.example>")[0] == 250
        assert client.docmd("RCPT", f"TO:<{to}>")[0] == 250
        client.rset()


@pytest.mark.parametrize("server", SMTP_SERVERS)
@pytest.mark.parametrize(
    "attempt",
    [
        b"AUTH PLAIN AHVzZXIAd3Jvbmc=\r\n",
        b"XCLIENT LOGIN=%(login)s\r\nEHLO a\r\n",
        b"AUTH PLAIN =\r\n",
        b"AUTH LOGIN\r\n*\r\n",
        b"AUTH EXTERNAL =\r\n",
        b"AUTH CRAM-MD5\r\n",
        b"RSET\r\n",
    ],
)
def test_nothing_but_the_right_password_lets_mail_in(
    clients: Clients, account: Account, server: str, attempt: bytes
) -> None:
    login = account.login.encode()
    heard = clients.talk(
        server,
        b"EHLO client.example\r\n"
        + attempt.replace(b"%(login)s", login)
        + b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\nRCPT TO:<a@elsewhere.example>\r\nQUIT\r\n" % (login, login),
    )
    *_, mail, first, second, _quit = heard.split(b"\r\n")[:-1]
    assert (mail[:3], first[:3], second[:3]) == (b"530", b"503", b"503"), heard


@pytest.mark.parametrize("server", ["trusted", "trusted_silent"])
def test_a_backend_without_auth_logs_nobody_in_even_by_the_right_password(
    clients: Clients, account: Account, server: str
) -> None:
    with clients.smtp(Security.NONE, server) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            client.login(account.login, account.password)
        assert caught.value.smtp_code == 454
        assert client.docmd("MAIL", "FROM:<a@client.example>")[0] == 530
