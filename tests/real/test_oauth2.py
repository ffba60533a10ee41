"""Tokens of OAuth 2.0 that a real Dovecot checks, for itself and for Postfix, from programs that people log in with."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template

import pytest

from tests.real.clients import Clients, Security
from tests.real.configuration import EVERY_SECURITY
from tests.real.conftest import BackendCertificates, Dovecots
from tests.real.programs import Programs, send_by_msmtp
from tests.real.proxy import Proxy, is_oracle, running, values_for
from tests.support.certificates import CertificateAuthority
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message
from tests.support.ports import Ports
from tests.support.postfix import Postfix

pytestmark = pytest.mark.skipif(is_oracle(), reason="nginx does not pass a token on")

# Nobody has a password here: an account's is its token.
DOVECOT = """
auth_mechanisms = xoauth2 oauthbearer
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = PROVIDER
}
"""

PROVIDER = Template("""\
tokeninfo_url = http://127.0.0.1:$port/?access_token=
introspection_mode = auth
username_attribute = email
active_attribute = active
active_value = true
""")

CONFIGURATION = (
    """\
error_log error.log info;
pid proxy.pid;
events {}
mail {
    auth_upstream on;
    map $$protocol $$backend {
        imap 127.0.0.1:$imap_backend;
        pop3 127.0.0.1:$pop3_backend;
        smtp 127.0.0.1:$submission_backend;
    }
    proxy_pass $$backend;
    imap_auth xoauth2 oauthbearer;
    pop3_auth xoauth2 oauthbearer;
    smtp_auth xoauth2 oauthbearer;
    imap_capabilities IMAP4rev1 SASL-IR;
    ssl_certificate $certificate;
    ssl_certificate_key $key;
"""
    + EVERY_SECURITY
    + "}\n"
)

MECHANISMS = ("XOAUTH2", "OAUTHBEARER")


class _Provider(ThreadingHTTPServer):
    """Tells whose a token is."""

    def __init__(self, owners: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Question)
        self.owners = owners


class _Question(BaseHTTPRequestHandler):
    server: _Provider

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        owner = self.server.owners.get(self.path.partition("access_token=")[2])
        answer = json.dumps({"email": owner, "active": True} if owner else {"error": "invalid_token"}).encode()
        self.send_response(200 if owner else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture(scope="module")
def provider(accounts: list[Account]) -> Iterator[int]:
    """Its port."""
    with _Provider({account.password: account.login for account in accounts}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def dovecot(folder: Path, dovecots: Dovecots, provider: int) -> Iterator[Dovecot]:
    settings = folder / "provider"
    settings.write_text(PROVIDER.substitute(port=provider))
    with dovecots.running("oauth2", [], DOVECOT.replace("PROVIDER", str(settings))) as server:
        yield server


@pytest.fixture(scope="module")
def postfix(
    folder: Path,
    mail: Path,
    accounts: list[Account],
    dovecot: Dovecot,
    backend_ports: Ports,
    backend_certificates: BackendCertificates,
) -> Iterator[Postfix]:
    ports = {name: backend_ports[f"oauth2_{name}"] for name in Postfix.PORTS}
    server = Postfix(folder / "oauth2-postfix", mail, accounts, dovecot.sasl, ports, backend_certificates.by_name)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(folder: Path, authority: CertificateAuthority, dovecot: Dovecot, postfix: Postfix) -> Iterator[Proxy]:
    path = folder / "oauth2"
    with running(path, CONFIGURATION, values_for(path, authority, dovecot, postfix)) as server:
        yield server


@pytest.fixture(scope="module")
def clients(proxy: Proxy, authority: CertificateAuthority) -> Clients:
    return Clients(proxy, authority)


def curl_options(account: Account, mechanism: str) -> tuple[str, ...]:
    return ("--login-options", f"AUTH={mechanism}", "--oauth2-bearer", account.password)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("initial", [("--sasl-ir",), ()], ids=["at once", "when asked"])
def test_curl_reads_with_a_token(clients: Clients, account: Account, mechanism: str, initial: tuple[str, ...]) -> None:
    account.deliver(make_message("for curl"))
    for url in ("imaps://{address}/INBOX;MAILINDEX=1", "pop3s://{address}/1"):
        result = clients.curl(url, Security.TLS, account, *curl_options(account, mechanism), *initial)
        assert result.returncode == 0, result.stderr
        assert b"Subject: for curl" in result.stdout


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("url", ["imaps://{address}/", "pop3s://{address}/", "smtps://{address}/"])
def test_curl_is_told_of_a_wrong_token(clients: Clients, account: Account, url: str, mechanism: str) -> None:
    stranger = replace(account, password="wrong")
    result = clients.curl(url, Security.TLS, stranger, *curl_options(stranger, mechanism))
    assert (result.returncode, result.stderr) == (67, b"curl: (67) Login denied\n")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_msmtp_sends_with_a_token(programs: Programs, account: Account, mechanism: str) -> None:
    send_by_msmtp(programs, account, Security.STARTTLS, mechanism.lower())


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_msmtp_is_told_of_a_wrong_token(programs: Programs, account: Account, mechanism: str) -> None:
    stranger = replace(account, password="wrong")
    result = programs.msmtp(Security.TLS, mechanism.lower(), stranger, make_message("never sent"))
    assert result.returncode != 0
    assert b"535 5.7.8 Authentication credentials invalid" in result.stderr
    assert account.arrivals() == 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_mpop_fetches_with_a_token(programs: Programs, account: Account, mechanism: str) -> None:
    account.deliver(make_message("for mpop"))
    result = programs.mpop(Security.STARTTLS, mechanism.lower(), account)
    assert result.returncode == 0, result.stdout + result.stderr
    assert programs.fetched.count(b"Subject: for mpop\n") == 1
    assert account.messages() == []
