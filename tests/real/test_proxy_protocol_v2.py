"""Version 2 of the PROXY header, which tells of TLS and the client's certificate, to Dovecot, Postfix and Exim."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.clients import Clients, Security
from tests.real.configuration import EVERY_SECURITY
from tests.real.proxy import is_oracle, running
from tests.support.auth_service import AuthService
from tests.support.certificates import Certificate, CertificateAuthority, rsa_key
from tests.support.daemon import ServerUnavailable, wait_until
from tests.support.dovecot import Dovecot
from tests.support.exim import Exim
from tests.support.haproxy import HaproxyBehind
from tests.support.mailbox import Account, make_message
from tests.support.postfix import Postfix

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx 1.22.1 knows version 1 alone")

CONFIGURATION = (
    """\
error_log error.log info;
pid proxy.pid;
events {
}
mail {
    server_name proxy.example.test;
    auth_http 127.0.0.1:$auth_service/haproxy;
    proxy_protocol v2;
    xclient off;
    ssl_certificate $certificate;
    ssl_certificate_key $key;
    ssl_verify_client on;
    ssl_client_certificate $authority;

"""
    + EVERY_SECURITY
    + """\
}
"""
)

every_security = pytest.mark.parametrize("security", Security, ids=lambda s: s.value)


@pytest.fixture(scope="module")
def certificate(authority: CertificateAuthority) -> Certificate:
    return authority.issue_client("v2-client", rsa_key(), "client.example.test")


@pytest.fixture(scope="module")
def clients(
    folder: Path, authority: CertificateAuthority, certificate: Certificate, auth_service: AuthService
) -> Iterator[Clients]:
    """Under TLS they show the certificate."""
    path = folder / "proxy_protocol_v2"
    issued = authority.issue_server("v2", rsa_key(), ("localhost", "127.0.0.1"))
    values: dict[str, object] = {
        "auth_service": auth_service.port,
        "certificate": issued.certificate,
        "key": issued.key,
        "authority": authority.path,
    }
    context = ssl.create_default_context(cafile=authority.path)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with running(path, CONFIGURATION, values) as server:
        yield Clients(server, authority, context)


@every_security
def test_dovecot_is_told_of_tls(clients: Clients, account: Account, dovecot: Dovecot, security: Security) -> None:
    with clients.imap(security) as client:
        client.login(account.login, account.password)
        assert client.select()[0] == "OK"
    reader = clients.pop3(security)
    reader.user(account.login)
    reader.pass_(account.password)
    reader.quit()
    login = re.compile(rf"(imap|pop3)-login: Info: Login: user=<{account.login}>.*?( secured)?, session=")
    secured = "" if security is Security.NONE else " secured"
    expected = [("imap", secured), ("pop3", secured)]
    wait_until(lambda: sorted(login.findall(dovecot.log.read_text())) == expected, "the backend's log lines")


@every_security
def test_postfix_is_told_of_the_client(
    clients: Clients, account: Account, postfix: Postfix, security: Security
) -> None:
    assert b"[127.0.0.48]" in sent(clients, account, security, "127.0.0.48")


@every_security
def test_exim_is_told_of_the_client(
    clients: Clients, account: Account, exim: Exim, auth_service: AuthService, security: Security
) -> None:
    with auth_service.moved(account.login, {"smtp": exim.smtp_haproxy}):
        assert b"[127.0.0.49]" in sent(clients, account, security, "127.0.0.49")


every_server_name = pytest.mark.parametrize(
    "name",
    ["x" * 200 + "\r\nHELO intruder\r\nQUIT\r\n", "\r\nHELO intruder\r\nQUIT\r\n", "a..b", "x" * 255, "-_:.", "w x"],
    ids=["a long command", "a command", "two dots", "the longest", "signs", "a blank"],
)


@every_server_name
@pytest.mark.parametrize("backend", ["postfix", "exim"])
def test_no_server_name_is_a_command_to_an_smtp_server_or_ends_a_login(
    clients: Clients,
    account: Account,
    request: pytest.FixtureRequest,
    certificate: Certificate,
    auth_service: AuthService,
    backend: str,
    name: str,
) -> None:
    server: Exim | Postfix = request.getfixturevalue(backend)
    login = b64encode(f"\0{account.login}\0{account.password}".encode())
    session = b"EHLO client.example.test\r\nAUTH PLAIN %b\r\nQUIT\r\n" % login
    with auth_service.moved(account.login, {"smtp": server.smtp_haproxy}):
        result = clients.openssl("smtps", *asking_for(name, certificate), greeting=b"220 ", data=session)
    replies = [line[:4] for line in result.stdout.splitlines() if line[3:4] == b" "]
    assert replies[1:] == [b"250 ", b"235 ", b"221 "]


@every_server_name
def test_no_server_name_ends_a_login_at_dovecot(
    clients: Clients, account: Account, dovecot: Dovecot, certificate: Certificate, name: str
) -> None:
    session = f"a LOGIN {account.login} {account.password}\r\nb LOGOUT\r\n".encode()
    result = clients.openssl("imaps", *asking_for(name, certificate), greeting=b"* OK", data=session)
    assert [line[:4] for line in result.stdout.splitlines() if line[:2] in (b"a ", b"b ")] == [b"a OK", b"b OK"]


@pytest.fixture
def haproxy(tmp_path: Path, dovecot: Dovecot) -> Iterator[HaproxyBehind]:
    try:
        server = HaproxyBehind(tmp_path, dovecot.imap)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.mark.parametrize(("name", "told"), [("mail.example.test", "mail.example.test"), ("a..b", "-"), ("a b", "-")])
def test_haproxy_takes_the_header_and_hears_of_names_of_hosts_alone(
    clients: Clients,
    account: Account,
    haproxy: HaproxyBehind,
    certificate: Certificate,
    auth_service: AuthService,
    name: str,
    told: str,
) -> None:
    session = f"a LOGIN {account.login} {account.password}\r\nb LOGOUT\r\n".encode()
    with auth_service.moved(account.login, {"imap": haproxy.address}):
        result = clients.openssl("imaps", *asking_for(name, certificate), greeting=b"* OK", data=session)
    assert b"\na OK " in result.stdout
    wait_until(lambda: f"127.0.0.1 {told} -" in haproxy.told, "haproxy's log line")


def asking_for(name: str, certificate: Certificate) -> list[str]:
    return ["-quiet", "-servername", name, "-cert", str(certificate.certificate), "-key", str(certificate.key)]


def sent(clients: Clients, account: Account, security: Security, source: str) -> bytes:
    """What arrives of a message that a client at `source` sends."""
    with clients.smtp(security, source=source) as client:
        client.login(account.login, account.password)
        client.sendmail(account.login, [account.login], make_message("by version 2"))
    return account.arrived()
