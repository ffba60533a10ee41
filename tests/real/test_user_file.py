"""A file of users, made by doveadm and htpasswd, in front of real servers and without any HTTP service."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from subprocess import run

import pytest

from tests.real.clients import Clients, Security
from tests.real.proxy import is_oracle, running, values_for
from tests.support.certificates import CertificateAuthority
from tests.support.daemon import find_program, wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account
from tests.support.postfix import Postfix

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx has no file of users")

CONFIGURATION = """\
error_log error.log info;
pid proxy.pid;
worker_sandbox on;
events {}
mail {
    auth_user_file $users;
    imap_auth plain cram-md5;
    pop3_auth plain apop;
    ssl_certificate $certificate;
    ssl_certificate_key $key;
    server { listen 127.0.0.1:$imap; protocol imap; proxy_pass 127.0.0.1:$imap_backend; }
    server { listen 127.0.0.1:$imaps ssl; protocol imap; proxy_pass 127.0.0.1:$imap_backend; }
    server { listen 127.0.0.1:$pop3; protocol pop3; proxy_pass 127.0.0.1:$pop3_backend; }
    server { listen 127.0.0.1:$smtp; protocol smtp; proxy_pass 127.0.0.1:$submission_backend; }
}
"""

SCHEMES = (
    *(("doveadm", "pw", "-s", scheme, "-p") for scheme in ("PLAIN", "SSHA256", "SHA512-CRYPT", "BLF-CRYPT", "PBKDF2")),
    *(("htpasswd", "-nb", option, "user") for option in ("-m", "-B", "-5")),
)


@pytest.fixture(scope="module")
def users(unused_accounts: Iterator[Account]) -> list[Account]:
    """One for each of SCHEMES; the first one's password is plain."""
    return list(islice(unused_accounts, len(SCHEMES)))


@pytest.fixture(scope="module")
def clients(
    folder: Path, users: list[Account], authority: CertificateAuthority, dovecot: Dovecot, postfix: Postfix
) -> Iterator[Clients]:
    path = folder / "user-file"
    path.mkdir(mode=0o755)
    (path / "users").touch(mode=0o600)
    lines = []
    for account, (program, *arguments) in zip(users, SCHEMES, strict=True):
        command = [find_program(program), *arguments, account.password]
        made = run(command, check=True, capture_output=True, text=True).stdout.strip()
        lines.append(f"{account.login}:{made.removeprefix('user:')}\n")
    (path / "users").write_text("".join(lines))
    values = values_for(path, authority, dovecot, postfix) | {"users": path / "users"}
    with running(path, CONFIGURATION, values) as proxy:
        yield Clients(proxy, authority)


@pytest.mark.parametrize("number", range(len(SCHEMES)), ids=[" ".join(scheme[:4]) for scheme in SCHEMES])
def test_users_of_any_scheme_log_in_and_are_told_of_a_wrong_password(
    clients: Clients, users: list[Account], number: int
) -> None:
    account = users[number]
    for security in (Security.NONE, Security.TLS):
        client = clients.imap(security)
        with pytest.raises(imaplib.IMAP4.error, match=r"\[AUTHENTICATIONFAILED\] Authentication failed"):
            client.login(account.login, account.password + "x")
        client.login(account.login, account.password)
        assert client.select("INBOX")[0] == "OK"
        client.logout()
    with clients.smtp(Security.NONE) as smtp:
        smtp.login(account.login, account.password)
    pop3 = clients.pop3(Security.NONE)
    pop3.user(account.login)
    assert pop3.pass_(account.password).startswith(b"+OK")
    pop3.quit()


def test_challenges_are_answered_where_the_password_is_plain(clients: Clients, users: list[Account]) -> None:
    plain, hashed, *_ = users
    client = clients.imap(Security.NONE)
    with pytest.raises(imaplib.IMAP4.error):
        client.login_cram_md5(hashed.login, hashed.password)
    assert client.login_cram_md5(plain.login, plain.password)[0] == "OK"
    client.logout()
    pop3 = clients.pop3(Security.NONE)
    assert pop3.apop(plain.login, plain.password).startswith(b"+OK")
    pop3.quit()


def test_mail_arrives_from_who_has_logged_in(clients: Clients, users: list[Account]) -> None:
    result = clients.swaks("smtp", users[1], "--auth", "PLAIN", "--body", "by a file")
    assert result.returncode == 0, result.stdout + result.stderr
    wait_until(lambda: users[1].arrivals() > 0, "the delivery")
