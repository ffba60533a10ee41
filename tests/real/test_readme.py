"""The first configurations of these pages, in front of real Dovecot and Postfix: only addresses are replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import randrange

import pytest

from tests.real.clients import Clients, Security
from tests.real.proxy import Proxy, is_oracle
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import Address, accepts, wait_until
from tests.support.dovecot import Dovecot
from tests.support.mailbox import Account, make_message
from tests.support.postfix import Postfix

pytestmark = [
    pytest.mark.skipif(is_oracle(), reason="nginx cannot leave it to the backend"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can listen on the ports of mail"),
]

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/quick-start.md", "docs/recipes/dovecot-postfix.md")
BLOCK = re.compile(r"^```nginx\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = {"imaps": 993, "pop3s": 995, "smtps": 465, "smtp": 587}


class ReadmeProxy(Proxy):
    """Serves the first configuration of a page on its own ports of a loopback address that nobody else has."""

    def __init__(self, folder: Path, page: str, host: str, backends: dict[str, Address]) -> None:
        self._host = host
        text = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))[0]
        text, listens = re.subn(r"\blisten ", f"listen {host}:", text)
        assert listens == len(PORTS)
        for documented, (address, port) in backends.items():
            assert documented in text
            text = text.replace(documented, f"{address}:{port}")
        assert "192.0.2." not in text
        super().__init__(folder, text, {})
        wait_until(lambda: all(accepts((host, port)) for port in PORTS.values()), "the proxy")

    def address(self, name: str) -> Address:
        return self._host, PORTS[name]


@pytest.fixture(scope="module", params=PAGES)
def clients(
    request: pytest.FixtureRequest,
    folder: Path,
    authority: CertificateAuthority,
    dovecot: Dovecot,
    postfix: Postfix,
) -> Iterator[Clients]:
    host = f"127.{randrange(1, 255)}.{randrange(1, 255)}.{randrange(1, 255)}"
    page = str(request.param)
    path = folder / f"shown-by-{page.replace('/', '-')}"
    path.mkdir(mode=0o755)
    certificate = authority.issue_server(path.name, ecdsa_key(), (host,))
    (path / "cert.pem").write_bytes(certificate.certificate.read_bytes())
    (path / "cert.key").write_bytes(certificate.key.read_bytes())
    (path / "cert.key").chmod(0o600)
    backends = {
        "192.0.2.10:143": dovecot.imap,
        "192.0.2.10:110": dovecot.pop3,
        "192.0.2.10:587": postfix.submission,
    }
    (path / "logs").mkdir()
    proxy = ReadmeProxy(path, page, host, backends)
    yield Clients(proxy, authority)
    proxy.stop()


def test_curl_reads_by_imap(clients: Clients, account: Account) -> None:
    account.deliver(make_message("from the readme"))
    result = clients.curl("imaps://{address}/INBOX;MAILINDEX=1", Security.TLS, account)
    assert result.returncode == 0, result.stderr
    assert b"Subject: from the readme" in result.stdout


def test_curl_reads_by_pop3(clients: Clients, account: Account) -> None:
    account.deliver(make_message("from the readme"))
    result = clients.curl("pop3s://{address}/1", Security.TLS, account)
    assert result.returncode == 0, result.stderr
    assert b"Subject: from the readme" in result.stdout


@pytest.mark.parametrize(("server", "tls"), [("smtps", "--tls-on-connect"), ("smtp", "--tls")])
def test_swaks_sends_on_both_ports(clients: Clients, account: Account, server: str, tls: str) -> None:
    result = clients.swaks(server, account, tls, "--auth", "PLAIN", "--body", "by the readme")
    assert result.returncode == 0, result.stdout + result.stderr
    arrived = account.arrived()
    assert f"(Authenticated sender: {account.login})".encode() in arrived
    assert b"using TLSv1" in arrived  # between proxy and Postfix


@pytest.mark.parametrize(("server", "options"), [("smtp", ()), ("smtp", ("--tls",)), ("smtps", ("--tls-on-connect",))])
def test_swaks_without_auth_sends_nothing(
    clients: Clients, account: Account, server: str, options: tuple[str, ...]
) -> None:
    result = clients.swaks_without_login(server, account, *options)
    assert result.returncode != 0
    assert b"530 5.7.1 Authentication required" in result.stdout
    assert account.arrivals() == 0


def test_swaks_is_not_offered_auth_before_tls(clients: Clients, account: Account) -> None:
    result = clients.swaks("smtp", account, "--auth", "PLAIN")
    assert result.returncode != 0
    assert b"AUTH" not in result.stdout.replace(b"AUTH PLAIN", b"")
    assert account.arrivals() == 0
