"""Programs that people fetch and send mail with, where no HTTP service decides about logins, nor says where they go."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import SMTP
from itertools import islice
from pathlib import Path

import pytest

from tests.real.clients import Clients, Security
from tests.real.configuration import EVERY_SECURITY
from tests.real.programs import MAIL_IMAPCLIENT, PHPMAILER, Programs, both_protocols, every_encryption, send_by_msmtp
from tests.real.proxy import Proxy, is_oracle, running, values_for
from tests.support.certificates import CertificateAuthority
from tests.support.daemon import wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message, read_maildir, to_wire
from tests.support.postfix import Postfix

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx needs an HTTP service")

SOURCES = {"the backend": "auth_upstream on", "a file of users": "auth_user_file $users"}

# Where a login goes is a variable, as of somebody who has more mail servers than one.
CONFIGURATION = (
    """\
error_log error.log info;
pid proxy.pid;
events {}
mail {
    $source;
    map $$protocol $$backend {
        imap 127.0.0.1:$imap_backend;
        pop3 127.0.0.1:$pop3_backend;
        smtp 127.0.0.1:$submission_backend;
    }
    proxy_pass $$backend;
    smtp_capabilities PIPELINING;
    ssl_certificate $certificate;
    ssl_certificate_key $key;
"""
    + EVERY_SECURITY
    + "}\n"
)


@pytest.fixture(scope="module")
def users(unused_accounts: Iterator[Account]) -> list[Account]:
    """Those of the file."""
    return list(islice(unused_accounts, 80))


@pytest.fixture(scope="module")
def unused_users(users: list[Account]) -> Iterator[Account]:
    return iter(users)


@pytest.fixture
def account(unused_users: Iterator[Account]) -> Account:
    """One of them that no other test uses, with an empty mailbox."""
    return next(unused_users)


@pytest.fixture(scope="module", params=SOURCES, ids=str)
def proxy(
    request: pytest.FixtureRequest,
    folder: Path,
    authority: CertificateAuthority,
    dovecot: Dovecot,
    postfix: Postfix,
    users: list[Account],
) -> Iterator[Proxy]:
    path = Path(tempfile.mkdtemp(dir=folder))
    path.chmod(0o755)
    file = path / "users"
    file.write_text("".join(f"{account.login}:{{PLAIN}}{account.password}\n" for account in users))
    file.chmod(0o600)
    values = values_for(path, authority, dovecot, postfix) | {"users": file}
    with running(path, CONFIGURATION.replace("$source", SOURCES[request.param]), values) as server:
        yield server


@pytest.fixture(scope="module")
def clients(proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(proxy, authority)


@both_protocols
@every_encryption
def test_fetchmail_fetches_and_deletes(programs: Programs, account: Account, protocol: str, security: Security) -> None:
    account.deliver(make_message("for fetchmail"))
    result = programs.fetchmail(protocol, security, account)
    assert result.returncode == 0, result.stdout + result.stderr
    assert programs.fetched.count(b"Subject: for fetchmail\n") == 1
    assert account.messages() == []


@both_protocols
def test_getmail_fetches(programs: Programs, account: Account, protocol: str) -> None:
    account.deliver(make_message("for getmail"))
    result = programs.getmail(protocol, account)
    assert result.returncode == 0, result.stdout + result.stderr
    assert programs.fetched.count(b"Subject: for getmail\n") == 1


@pytest.mark.parametrize("mechanism", ["plain", "login"])
@every_encryption
def test_msmtp_sends(programs: Programs, account: Account, security: Security, mechanism: str) -> None:
    send_by_msmtp(programs, account, security, mechanism)


@pytest.mark.parametrize("mechanism", ["user", "plain"])
@every_encryption
def test_mpop_fetches_and_deletes(programs: Programs, account: Account, security: Security, mechanism: str) -> None:
    for number in range(3):
        account.deliver(make_message(f"number {number}", (".", "..")))
    result = programs.mpop(security, mechanism, account)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [programs.fetched.count(b"Subject: number %d\n" % number) for number in range(3)] == [1, 1, 1]
    assert account.messages() == []


def test_mpop_is_told_of_a_wrong_password(programs: Programs, account: Account) -> None:
    result = programs.mpop(Security.TLS, "user", replace(account, password="wrong"))
    assert result.returncode != 0
    assert b"-ERR [AUTH] Authentication failed" in result.stderr


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", ""])
@every_encryption
def test_phpmailer_sends_an_attachment(
    programs: Programs, account: Account, security: Security, mechanism: str
) -> None:
    attachment = programs.folder / "attachment"
    attachment.write_bytes(random.Random(6).randbytes(1_000_000))
    result = programs.script(PHPMAILER, "smtp", security, mechanism, account, "by PHPMailer", str(attachment))
    assert result.returncode == 0, result.stdout + result.stderr
    received = account.arrived()
    text, file = message_from_bytes(received, policy=SMTP).iter_parts()
    assert text.get_content() == "ü\n.\n..\n"
    assert file.get_content() == attachment.read_bytes()


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
@every_encryption
def test_mail_imapclient_has_a_compressed_session(
    programs: Programs, account: Account, security: Security, mechanism: str
) -> None:
    message = to_wire(make_message("compressed", ["much the same"] * 50_000)) + b"\xe4\xff\r\n"
    sent, fetched = programs.folder / "sent", programs.folder / "copy"
    sent.write_bytes(message)
    result = programs.script(MAIL_IMAPCLIENT, "imap", security, mechanism, account, str(sent), str(fetched))
    assert result.returncode == 0, result.stdout + result.stderr
    assert fetched.read_bytes() == message


@every_encryption
def test_mutt_sends_and_keeps_a_copy(programs: Programs, account: Account, security: Security) -> None:
    result = programs.mutt(security, account, b"Hello.\n")
    assert result.returncode == 0, result.stdout + result.stderr
    wait_until(lambda: len(account.messages()) == 2, "the delivery beside the copy")


def test_mbsync_synchronises(clients: Clients, account: Account, tmp_path: Path) -> None:
    account.deliver(make_message("for mbsync"))
    result = clients.mbsync(account, tmp_path / "mail")
    assert result.returncode == 0, result.stderr
    assert b"Subject: for mbsync\n" in read_maildir(tmp_path / "mail" / "INBOX")[0]


@every_encryption
def test_curl_reads(clients: Clients, account: Account, security: Security) -> None:
    account.deliver(make_message("for curl"))
    tls = "s" if security is Security.TLS else ""
    for url in (f"imap{tls}://{{address}}/INBOX;MAILINDEX=1", f"pop3{tls}://{{address}}/1"):
        result = clients.curl(url, security, account)
        assert result.returncode == 0, result.stderr
        assert b"Subject: for curl" in result.stdout


@pytest.mark.parametrize(("server", "tls"), [("smtps", "--tls-on-connect"), ("smtp", "--tls")])
def test_swaks_sends(clients: Clients, account: Account, server: str, tls: str) -> None:
    result = clients.swaks(server, account, tls, "--auth", "LOGIN", "--body", "by swaks")
    assert result.returncode == 0, result.stdout + result.stderr
    wait_until(lambda: account.arrivals() > 0, "the delivery")


@pytest.mark.parametrize("options", [("--auth-password", "wrong"), ("--auth-user", "nobody@example.test")])
def test_swaks_is_told_of_a_wrong_login(clients: Clients, account: Account, options: tuple[str, ...]) -> None:
    result = clients.swaks("smtp", account, "--tls", "--auth", "PLAIN", *options)
    assert result.returncode != 0
    assert b"535 5.7.8" in result.stdout
    assert account.arrivals() == 0
