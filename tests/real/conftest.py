"""Real servers behind the proxy, started once, each when the first test asks for it."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.clients import Clients
from tests.real.proxy import Proxy
from tests.support.auth_service import AuthService
from tests.support.certificates import CertificateAuthority, ecdsa_key, rsa_key
from tests.support.daemon import Address, ServerUnavailable, mail_owner
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, create_account
from tests.support.ports import Ports
from tests.support.postfix import Postfix

ACCOUNTS = 250

CONFIGURATION = """\
worker_processes 2;
error_log error.log info;
pid proxy.pid;

events {
    worker_connections 512;
}

mail {
    server_name proxy.example.test;
    auth_http 127.0.0.1:$auth_service/;
    proxy_pass_error_message on;

    ssl_certificate $rsa_certificate;
    ssl_certificate_key $rsa_key;
    ssl_certificate $ecdsa_certificate;
    ssl_certificate_key $ecdsa_key;
    ssl_protocols TLSv1.2 TLSv1.3;

    imap_auth plain login cram-md5;
    imap_capabilities IMAP4rev1 LITERAL+ UIDPLUS IDLE;
    pop3_auth plain apop cram-md5;
    smtp_auth plain login cram-md5;
    smtp_capabilities PIPELINING 8BITMIME "SIZE 10240000";

    server {
        listen 127.0.0.1:$imap;
        protocol imap;
        starttls on;
    }
    server {
        listen 127.0.0.1:$imaps ssl;
        protocol imap;
    }
    server {
        listen 127.0.0.1:$pop3;
        protocol pop3;
        starttls on;
    }
    server {
        listen 127.0.0.1:$pop3s ssl;
        protocol pop3;
    }
    server {
        listen 127.0.0.1:$smtp;
        protocol smtp;
        starttls on;
    }
    server {
        listen 127.0.0.1:$smtps ssl;
        protocol smtp;
    }

    # The backend relays for nobody who has not logged in.
    server {
        listen 127.0.0.1:$submission;
        protocol smtp;
        starttls only;
        auth_http 127.0.0.1:$auth_service/submission;
    }
    server {
        listen 127.0.0.1:$submission_with_auth;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/submission;
        xclient off;
        proxy_smtp_auth on;
    }
    server {
        listen 127.0.0.1:$smtp_without_login;
        protocol smtp;
        smtp_auth none;
    }

    # The backend's errors stay behind the proxy.
    server {
        listen 127.0.0.1:$imap_discreet;
        protocol imap;
        proxy_pass_error_message off;
    }

    # The backend is told the client's address by a PROXY protocol header.
    server {
        listen 127.0.0.1:$imap_haproxy;
        protocol imap;
        auth_http 127.0.0.1:$auth_service/haproxy;
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$pop3_haproxy;
        protocol pop3;
        auth_http 127.0.0.1:$auth_service/haproxy;
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$smtp_haproxy;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/haproxy;
        xclient off;
        proxy_protocol on;
    }

    # The proxy is told the client's address by one that stands before it, and tells the backend.
    set_real_ip_from 127.0.0.0/8;
    server {
        listen 127.0.0.1:$imap_behind_haproxy proxy_protocol;
        protocol imap;
        auth_http 127.0.0.1:$auth_service/haproxy;
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$pop3_behind_haproxy proxy_protocol;
        protocol pop3;
        auth_http 127.0.0.1:$auth_service/haproxy;
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$smtp_behind_haproxy proxy_protocol;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/haproxy;
        xclient off;
        proxy_protocol on;
    }
}
"""


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that the unprivileged processes of every server can enter."""
    path = Path(tempfile.mkdtemp(prefix="mailworker-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def mail(folder: Path) -> Path:
    """The folder of all maildirs."""
    path = folder / "mail"
    path.mkdir()
    owner = mail_owner()
    os.chown(path, owner.pw_uid, owner.pw_gid)
    return path


@pytest.fixture(scope="session")
def accounts(mail: Path) -> list[Account]:
    return [create_account(mail, f"user-{number}") for number in range(ACCOUNTS)]


@pytest.fixture(scope="session")
def awkward_account(mail: Path) -> Account:
    """Its password needs quoting in every protocol."""
    return create_account(mail, "awkward", 'per%20cent "quoted" back\\slash +{3}')


@pytest.fixture(scope="session")
def unused_accounts(accounts: list[Account]) -> Iterator[Account]:
    return iter(accounts)


@pytest.fixture
def account(unused_accounts: Iterator[Account]) -> Account:
    """An account that no other test uses, with an empty mailbox."""
    return next(unused_accounts)


@pytest.fixture(scope="session")
def backend_ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    ports.close()


@pytest.fixture(scope="session")
def closed_address(backend_ports: Ports) -> Address:
    """Nobody listens here."""
    return ("127.0.0.1", backend_ports["nobody"])


@pytest.fixture(scope="session")
def auth_service(accounts: list[Account], awkward_account: Account) -> Iterator[AuthService]:
    service = AuthService([*accounts, awkward_account])
    yield service
    service.stop()


@pytest.fixture(scope="session")
def dovecot(
    folder: Path,
    mail: Path,
    accounts: list[Account],
    awkward_account: Account,
    backend_ports: Ports,
    auth_service: AuthService,
) -> Iterator[Dovecot]:
    names = ("imap", "pop3", "imap_haproxy", "pop3_haproxy")
    ports = {name: backend_ports[name] for name in names}
    try:
        server = Dovecot(folder / "dovecot", mail, [*accounts, awkward_account], ports)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    auth_service.route("/", {"imap": server.imap, "pop3": server.pop3})
    auth_service.route("/haproxy", {"imap": server.imap_haproxy, "pop3": server.pop3_haproxy})
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postfix(
    folder: Path,
    mail: Path,
    accounts: list[Account],
    awkward_account: Account,
    dovecot: Dovecot,
    backend_ports: Ports,
    auth_service: AuthService,
) -> Iterator[Postfix]:
    names = ("smtp", "submission", "smtp_haproxy")
    ports = {name: backend_ports[name] for name in names}
    try:
        server = Postfix(folder / "postfix", mail, [*accounts, awkward_account], dovecot.sasl, ports)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    auth_service.route("/", {"smtp": server.smtp})
    auth_service.route("/submission", {"smtp": server.submission})
    auth_service.route("/haproxy", {"smtp": server.smtp_haproxy})
    yield server
    server.stop()


@pytest.fixture(scope="session")
def authority(folder: Path) -> CertificateAuthority:
    path = folder / "certificates"
    path.mkdir()
    return CertificateAuthority(path)


@pytest.fixture(scope="session")
def proxy(folder: Path, authority: CertificateAuthority, auth_service: AuthService) -> Iterator[Proxy]:
    names = ("localhost", "127.0.0.1")
    rsa = authority.issue_server("rsa", rsa_key(), names)
    ecdsa = authority.issue_server("ecdsa", ecdsa_key(), names)
    values: dict[str, object] = {
        "auth_service": auth_service.port,
        "rsa_certificate": rsa.certificate,
        "rsa_key": rsa.key,
        "ecdsa_certificate": ecdsa.certificate,
        "ecdsa_key": ecdsa.key,
    }
    path = folder / "proxy"
    path.mkdir(mode=0o755)
    try:
        server = Proxy(path, CONFIGURATION, values)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def clients(proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(proxy, authority.path, ssl.create_default_context(cafile=authority.path))
