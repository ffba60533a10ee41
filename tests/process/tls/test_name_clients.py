"""Clients of all kinds come to a name of their own: curl, GnuTLS, Python, OpenSSL, and one that asks for no name."""

from __future__ import annotations

import imaplib
import re
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.process.conftest import Install
from tests.process.tls.clients import GOODBYE, s_client
from tests.process.tls.folders import Certbot
from tests.process.tls.servers import configuration, start
from tests.support.certificates import CertificateAuthority
from tests.support.daemon import ServerUnavailable, find_program
from tests.support.patience import PATIENCE

NAMES = ("mail.a.example", "mail.b.example")


@pytest.fixture
def served(install: Install, port: int, folder: Path, maker: CertificateAuthority) -> int:
    """A server of both names, the first of which is its own."""
    certbot = Certbot(folder / "letsencrypt", maker)
    for name in NAMES:
        certbot.issue(name)
    start(
        install,
        configuration(
            f"server {{ listen 127.0.0.1:{port} ssl; protocol imap; server_name {NAMES[0]};"
            f" ssl_certificate_directory {certbot.live}; }}"
        ),
    )
    return port


def said(*command: str, data: bytes = GOODBYE) -> str:
    """What a program prints, which must be content."""
    try:
        program = find_program(command[0])
    except ServerUnavailable as error:
        pytest.skip(str(error))
    result = subprocess.run([program, *command[1:]], input=data, capture_output=True, timeout=PATIENCE, check=False)
    text = (result.stdout + result.stderr).decode(errors="replace")
    assert result.returncode == 0, text
    return text


@pytest.mark.parametrize("name", NAMES)
def test_curl_trusts_the_certificate_of_its_name(served: int, maker: CertificateAuthority, name: str) -> None:
    options = ("--connect-to", f"{name}:993:127.0.0.1:{served}", "--cacert", str(maker.path))
    assert "IMAP4" in said("curl", "-sv", *options, "-X", "CAPABILITY", f"imaps://{name}:993/")


@pytest.mark.parametrize("name", NAMES)
def test_gnutls_trusts_the_certificate_of_its_name(served: int, maker: CertificateAuthority, name: str) -> None:
    options = ("--x509cafile", str(maker.path), "--sni-hostname", name, "--verify-hostname", name)
    text = said("gnutls-cli", *options, "--port", str(served), "127.0.0.1")
    assert "Handshake was completed" in text
    assert "certificate is trusted" in text


@pytest.mark.parametrize("name", NAMES)
def test_python_trusts_the_certificate_of_its_name(
    served: int, maker: CertificateAuthority, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(cafile=str(maker.path))
    wrap = context.wrap_socket
    monkeypatch.setattr(context, "wrap_socket", lambda sock, server_hostname: wrap(sock, server_hostname=name))
    with imaplib.IMAP4_SSL("127.0.0.1", served, ssl_context=context, timeout=PATIENCE) as client:
        assert b"IMAP4 ready" in client.welcome


@pytest.mark.parametrize("name", NAMES)
def test_a_scanner_finds_each_names_certificate_and_nothing_old(served: int, name: str) -> None:
    text = said("sslscan", "--no-colour", "--show-certificate", f"--sni-name={name}", f"127.0.0.1:{served}")
    assert f"CN = {name}" in text or f"Subject:  {name}" in text
    assert re.findall(r"^(\S+)\s+enabled$", text, re.MULTILINE) == ["TLSv1.2", "TLSv1.3"]
    assert "not vulnerable" in text


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_who_asks_for_no_name_gets_the_servers_own(served: int, version: str) -> None:
    """As Outlook for Mac 15 and Apple Mail of old do."""
    assert f"subject=CN = {NAMES[0]}" in s_client(served, version, "-noservername")
    assert f"subject=CN = {NAMES[1]}" in s_client(served, version, "-servername", NAMES[1].upper())
