"""TLS as `openssl s_client` sees it."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.real.clients import Clients
from tests.real.proxy import is_oracle

STARTTLS = {"imap": "imap", "pop3": "pop3", "smtp": "smtp", "submission": "smtp"}
IMPLICIT = {"imaps": "imap", "pop3s": "pop3", "smtps": "smtp"}
GREETING = {"imap": b"* OK", "pop3": b"+OK", "smtp": b"220 "}
GOODBYE = {"imap": b"a LOGOUT\r\n", "pop3": b"QUIT\r\n", "smtp": b"QUIT\r\n"}
FAREWELL = {"imap": b"a OK completed\r\n", "pop3": b"+OK\r\n", "smtp": b"221 2.0.0 Bye\r\n"}

every_server = pytest.mark.parametrize(("server", "protocol"), [*IMPLICIT.items(), *STARTTLS.items()])


def visit(clients: Clients, server: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Come to TLS on this server as its clients do, say goodbye at once, and return what s_client tells."""
    if server in STARTTLS:
        protocol = STARTTLS[server]
        return clients.openssl(server, "-starttls", protocol, *options, data=GOODBYE[protocol])
    protocol = IMPLICIT[server]
    return clients.openssl(server, *options, greeting=GREETING[protocol], data=GOODBYE[protocol])


@every_server
@pytest.mark.parametrize(("option", "version"), [("-tls1_2", b"TLSv1.2"), ("-tls1_3", b"TLSv1.3")])
def test_versions_that_are_switched_on_are_spoken(
    clients: Clients, server: str, protocol: str, option: str, version: bytes
) -> None:
    result = visit(clients, server, option)
    assert result.returncode == 0, result.stderr
    assert b"Verify return code: 0 (ok)" in result.stdout
    assert re.search(rb"^New, %s, Cipher is " % version, result.stdout, re.MULTILINE)
    assert FAREWELL[protocol] in result.stdout


@pytest.mark.skipif(is_oracle(), reason="nginx 1.22.1 may sleep on commands that came before its greeting went out")
@pytest.mark.parametrize(("server", "protocol"), IMPLICIT.items())
def test_commands_may_come_with_the_end_of_the_handshake(clients: Clients, server: str, protocol: str) -> None:
    result = clients.openssl(server, data=GOODBYE[protocol])
    assert FAREWELL[protocol] in result.stdout, result.stderr


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused(clients: Clients, option: str) -> None:
    result = visit(clients, "imaps", option, "-cipher", "DEFAULT:@SECLEVEL=0")
    assert result.returncode != 0
    assert b"alert protocol version" in result.stderr


@every_server
def test_alpn_names_the_protocol(clients: Clients, server: str, protocol: str) -> None:
    result = visit(clients, server, "-alpn", f"h2,{protocol}")
    assert f"ALPN protocol: {protocol}\n".encode() in result.stdout, result.stderr


@every_server
def test_alpn_without_the_protocol_is_refused(clients: Clients, server: str, protocol: str) -> None:
    result = visit(clients, server, "-alpn", "h2,http/1.1")
    assert result.returncode != 0
    assert b"alert no application protocol" in result.stderr
    assert FAREWELL[protocol] not in result.stdout


@pytest.mark.parametrize(
    ("cipher", "signature"), [("ECDHE-RSA-AES128-GCM-SHA256", b"RSA-PSS"), ("ECDHE-ECDSA-AES128-GCM-SHA256", b"ECDSA")]
)
def test_certificate_is_the_one_that_the_cipher_needs(clients: Clients, cipher: str, signature: bytes) -> None:
    result = visit(clients, "imaps", "-tls1_2", "-cipher", cipher)
    assert b"Peer signature type: %s\n" % signature in result.stdout, result.stderr


def test_plain_text_sent_with_starttls_is_thrown_away(clients: Clients) -> None:
    with clients.connect("imap") as connection:
        connection.sendall(b"a STARTTLS\r\nb NOOP\r\n")
        lines = connection.makefile("rb")
        assert lines.readline() == b"* OK IMAP4 ready\r\n"
        assert lines.readline() == b"a OK completed\r\n"
        connection.shutdown(1)
        assert b"b OK" not in lines.read()
