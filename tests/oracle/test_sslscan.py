"""What a scanner finds on each listener is what it finds on nginx's with the same configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template

import pytest

from tests.oracle.proxies import Start, mailworker, nginx
from tests.support.certificates import CertificateAuthority, ecdsa_key, rsa_key
from tests.support.daemon import Address, ServerUnavailable, find_program
from tests.support.ports import Ports

pytestmark = pytest.mark.oracle

HEAD = """\
worker_processes 1;
error_log error.log info;
pid proxy.pid;
events { worker_connections 256; }
mail {
    server_name proxy.test;
    auth_http 127.0.0.1:9/;
    ssl_certificate $rsa; ssl_certificate_key $rsa_key;
    ssl_certificate $ecdsa; ssl_certificate_key $ecdsa_key;
"""

MODERN = "ssl_protocols TLSv1.2 TLSv1.3;"
SERVERS = {
    "imaps": ("ssl", f"protocol imap; {MODERN}"),
    "pop3s": ("ssl", f"protocol pop3; {MODERN}"),
    "smtps": ("ssl", f"protocol smtp; {MODERN}"),
    "imap": ("", f"protocol imap; starttls on; {MODERN}"),
    "pop3": ("", f"protocol pop3; starttls on; {MODERN}"),
    "smtp": ("", f"protocol smtp; starttls only; {MODERN}"),
    "old": ("ssl", "protocol imap; ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers DEFAULT@SECLEVEL=0;"),
    "documented": (
        "ssl",
        "protocol imap; ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_session_cache shared:SSL:10m; "
        "ssl_ciphers AES128-SHA:AES256-SHA:RC4-SHA:DES-CBC3-SHA:RC4-MD5;",
    ),
    "dhe": ("ssl", f"protocol imap; {MODERN} ssl_dhparam $dhparam; ssl_ecdh_curve prime256v1:secp384r1;"),
    "choosy": (
        "ssl",
        f"protocol imap; {MODERN} ssl_ciphers ECDHE+AESGCM; ssl_prefer_server_ciphers on; ssl_session_tickets off;",
    ),
    "verifying": ("ssl", f"protocol imap; {MODERN} ssl_verify_client optional; ssl_client_certificate $authority;"),
}
STARTTLS = {"imap": "--starttls-imap", "pop3": "--starttls-pop3", "smtp": "--starttls-smtp"}

Scans = dict[str, list[str]]


def configuration() -> str:
    blocks = [
        f"    server {{ listen 127.0.0.1:${name} {listen}; {directives} }}\n"
        for name, (listen, directives) in SERVERS.items()
    ]
    return HEAD + "".join(blocks) + "}\n"


@pytest.fixture(scope="module")
def ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    ports.close()


@pytest.fixture(scope="module")
def text(ports: Ports, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("certificates")
    authority = CertificateAuthority(folder)
    rsa = authority.issue_server("rsa", rsa_key(), ("proxy.test",))
    ecdsa = authority.issue_server("ecdsa", ecdsa_key(), ("proxy.test",))
    dhparam = folder / "dh.pem"
    command = ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"]
    subprocess.run([*command, "-out", str(dhparam)], check=True, capture_output=True)
    files = {"rsa": rsa.certificate, "rsa_key": rsa.key, "ecdsa": ecdsa.certificate, "ecdsa_key": ecdsa.key}
    values: dict[str, object] = {**files, "dhparam": dhparam, "authority": authority.path}
    values |= {name: ports[name] for name in SERVERS}
    return Template(configuration()).substitute(values)


def scans(start: Start, folder: Path, text: str, ports: Ports) -> Scans:
    """What sslscan prints of each server of a proxy."""
    try:
        find_program("sslscan")
        addresses = {name: ("127.0.0.1", ports[name]) for name in SERVERS}
        proxy = start(folder, text, list(addresses.values()))
    except ServerUnavailable as error:
        pytest.skip(str(error))
    try:
        return {name: scan(name, address) for name, address in addresses.items()}
    finally:
        proxy.stop()


def scan(server: str, address: Address) -> list[str]:
    """What sslscan prints."""
    command = [find_program("sslscan"), "--no-colour", "--show-client-cas", "--show-certificate", "--show-sigs"]
    option = STARTTLS.get(server)
    command += [option] if option else []
    result = subprocess.run(
        [*command, f"{address[0]}:{address[1]}"], capture_output=True, text=True, timeout=50, check=True
    )
    return [line.rstrip() for line in result.stdout.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def of_nginx(ports: Ports, text: str, tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return scans(nginx, tmp_path_factory.mktemp("nginx"), text, ports)


@pytest.fixture(scope="module")
def of_mailworker(ports: Ports, text: str, of_nginx: Scans, tmp_path_factory: pytest.TempPathFactory) -> Scans:
    """The same ports, so nginx is gone by now."""
    return scans(mailworker, tmp_path_factory.mktemp("mailworker"), text, ports)


@pytest.mark.parametrize("server", SERVERS)
def test_a_scanner_finds_what_it_finds_on_nginx(server: str, of_nginx: Scans, of_mailworker: Scans) -> None:
    ours = of_mailworker[server]
    assert any(line.startswith("Preferred") for line in ours)
    assert ours == of_nginx[server]
