"""What scanners find on each listener is what they find on nginx's with the same configuration."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import pytest

from tests.oracle.proxies import Start, mailworker, nginx
from tests.support.certificates import CertificateAuthority, ecdsa_key, rsa_key
from tests.support.daemon import ServerUnavailable, find_program
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
STARTTLS = ("imap", "pop3", "smtp")

# sslyze takes seconds for a server, so it sees one for each configuration of TLS, and one by STARTTLS. Asked for a
# certificate, it gives up at one check or another.
BY_SSLYZE = ("imaps", "smtp", "old", "documented", "dhe", "choosy")

# All that sslyze looks for but HTTP headers.
SSLYZE_SCANS = (
    *("--certinfo", "--compression", "--early_data", "--elliptic_curves", "--ems", "--fallback", "--heartbleed"),
    *("--openssl_ccs", "--reneg", "--resum", "--robot"),
    *("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"),
)
# What differs from one handshake to the next, and suites that have several names.
SSLYZE_NOISE = ("public_bytes", "x", "y", "rejected_cipher_suites")

# What a scanner has found, by server.
Scans = dict[str, list[str]]
Scanner = Callable[[Ports, Path], Scans]

# Lets a scanner loose, once, on nginx and, on the same ports, on mailworker.
Scan = Callable[[Scanner], tuple[Scans, Scans]]


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


def sslscan(ports: Ports, _folder: Path) -> Scans:
    """The lines that it prints."""
    program = find_program("sslscan")
    scans = {}
    for server in SERVERS:
        command = [program, "--no-colour", "--show-client-cas", "--show-certificate", "--show-sigs"]
        command += [f"--starttls-{server}"] if server in STARTTLS else []
        command += [f"127.0.0.1:{ports[server]}"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
        scans[server] = [line.rstrip() for line in result.stdout.splitlines() if line.strip()]
        assert any(line.startswith("Preferred") for line in scans[server])
    return scans


def sslyze(ports: Ports, folder: Path) -> Scans:
    """The results that it writes as JSON."""
    command = [find_program("sslyze"), "--quiet", "--mozilla_config", "disable", *SSLYZE_SCANS]
    names = {ports[server]: server for server in SERVERS}
    groups: list[tuple[list[str], list[str]]] = [([], [server for server in BY_SSLYZE if server not in STARTTLS])]
    groups += [(["--starttls", server], [server]) for server in BY_SSLYZE if server in STARTTLS]
    scans = {}
    for options, servers in groups:
        addresses = [f"127.0.0.1:{ports[server]}" for server in servers]
        report = folder / f"{servers[0]}.json"
        arguments = [*command, *options, "--json_out", str(report), *addresses]
        subprocess.run(arguments, capture_output=True, timeout=100, check=True)
        for result in json.loads(report.read_text())["server_scan_results"]:
            scan = result["scan_result"]
            assert {check["error_reason"] for check in scan.values()} == {None}
            scans[names[result["server_location"]["port"]]] = lines([scan, result["connectivity_result"]])
    return scans


def lines(found: Any, place: str = "") -> list[str]:
    """All values of `found`, each with its place, in one order and without noise."""
    if isinstance(found, dict):
        parts = [lines(value, f"{place} {key}") for key, value in found.items() if key not in SSLYZE_NOISE]
    elif isinstance(found, list):
        parts = [lines(value, place) for value in found]
    else:
        return [f"{place}: {found}"]
    return sorted(line for part in parts for line in part)


def scanned(start: Start, scanner: Scanner, folder: Path, text: str, ports: Ports) -> Scans:
    folder.mkdir(mode=0o755)
    try:
        proxy = start(folder, text, [("127.0.0.1", ports[name]) for name in SERVERS])
    except ServerUnavailable as error:
        pytest.skip(str(error))
    try:
        return scanner(ports, folder)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    finally:
        proxy.stop()


@pytest.fixture(scope="module")
def scan(ports: Ports, text: str, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    @cache
    def scan_both(scanner: Scanner) -> tuple[Scans, Scans]:
        folder = tmp_path_factory.mktemp("scans")
        folder.chmod(0o755)
        theirs = scanned(nginx, scanner, folder / "nginx", text, ports)
        return theirs, scanned(mailworker, scanner, folder / "mailworker", text, ports)

    return scan_both


CASES = [(sslscan, server) for server in SERVERS] + [(sslyze, server) for server in BY_SSLYZE]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("scanner", "server"), CASES)
def test_a_scanner_finds_what_it_finds_on_nginx(scan: Scan, scanner: Scanner, server: str) -> None:
    theirs, ours = scan(scanner)
    assert Counter(ours[server]) - Counter(theirs[server]) == Counter()
    assert ours[server] == theirs[server]
