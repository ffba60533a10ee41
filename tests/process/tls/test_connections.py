"""What `openssl s_client` and broken clients meet on the real binary's listeners."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

import pytest
from OpenSSL import SSL

from tests.process.conftest import Install
from tests.process.tls.clients import client_context, s_client, visit
from tests.process.tls.servers import configuration, key_pair, start, starttls_server, tls_server
from tests.support.certificates import Certificate
from tests.support.patience import PATIENCE
from tests.support.process import GREETING

STARTTLS = {"imap": b"a STARTTLS\r\n", "pop3": b"STLS\r\n", "smtp": b"STARTTLS\r\n"}
GOODBYE = {"imap": b"a LOGOUT\r\n", "pop3": b"QUIT\r\n", "smtp": b"QUIT\r\n"}
FAREWELL = {"imap": "a OK completed", "pop3": "+OK", "smtp": "221 2.0.0 Bye"}
REFUSAL = {"imap": b"a BAD invalid command\r\n", "pop3": b"-ERR invalid command\r\n", "smtp": b"500 5.5.1 "}

every_protocol = pytest.mark.parametrize("protocol", STARTTLS)


@every_protocol
def test_starttls_and_its_words(install: Install, port: int, ecdsa: Certificate, protocol: str) -> None:
    start(install, configuration(starttls_server(port, protocol, key_pair(ecdsa))))
    printed = s_client(port, "-starttls", protocol, "-alpn", protocol, data=GOODBYE[protocol])
    assert f"ALPN protocol: {protocol}\n" in printed
    assert FAREWELL[protocol] in printed
    refused = s_client(port, "-starttls", protocol, "-alpn", "h2", data=GOODBYE[protocol])
    assert "alert no application protocol" in refused
    assert FAREWELL[protocol] not in refused


@every_protocol
def test_without_starttls_its_command_is_unknown(
    install: Install, port: int, ecdsa: Certificate, protocol: str
) -> None:
    server = starttls_server(port, protocol, key_pair(ecdsa)).replace("starttls on", "starttls off")
    start(install, configuration(server))
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        lines = client.makefile("rb")
        lines.readline()
        client.sendall(STARTTLS[protocol])
        assert lines.readline().startswith(REFUSAL[protocol])


@every_protocol
def test_what_comes_before_the_handshake_is_dropped(
    install: Install, port: int, ecdsa: Certificate, protocol: str
) -> None:
    start(install, configuration(starttls_server(port, protocol, key_pair(ecdsa))))
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        plain.recv(1000)
        plain.sendall(STARTTLS[protocol] + GOODBYE[protocol])
        plain.recv(1000)
        with client_context(ssl.TLSVersion.TLSv1_3).wrap_socket(plain) as client:
            client.sendall(b"z NOOP\r\n" if protocol == "imap" else b"NOOP\r\n")
            answer = client.recv(1000)
            assert answer.startswith((b"z OK", b"+OK", b"250 "))
            assert FAREWELL["imap"].encode() not in answer


def test_renegotiation_is_refused(install: Install, port: int, ecdsa: Certificate) -> None:
    start(install, configuration(tls_server(port, key_pair(ecdsa))))
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        plain.settimeout(None)
        client = SSL.Connection(context, plain)
        client.set_connect_state()
        client.do_handshake()
        assert client.recv(100) == GREETING
        assert client.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            client.do_handshake()


def test_the_server_serves_on_whatever_comes(install: Install, port: int, ecdsa: Certificate) -> None:
    start(install, configuration(tls_server(port, key_pair(ecdsa))))
    for garbage in (b"", b"a LOGIN joe secret\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x80\x2e\x01\x00\x02" * 20):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(garbage)
            with suppress(OSError):  # the server may have reset the connection by now
                client.shutdown(socket.SHUT_WR)
                assert b"* OK" not in client.makefile("rb").read()
    visit(port, client_context(ssl.TLSVersion.TLSv1_3))
