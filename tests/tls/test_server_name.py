"""By which name a backend is asked for, if by any."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any

import pytest

from mailworker.model import InetAddress
from mailworker.native.core.readiness import READ
from mailworker.native.tls.certificate import load_certificates
from mailworker.tls.backend import BackendTls
from tests.support.certificates import Certificate
from tests.support.settings import proxy_ssl_settings

ADDRESS = InetAddress("127.0.0.1", 993)


def client_hello(**changes: Any) -> bytes:
    """The first message of a handshake."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = BackendTls.build(proxy_ssl_settings(**changes)).peer(ADDRESS).connection(ours.fileno())
        assert connection.handshake() is READ
        connection.free()
        return theirs.recv(65536)


def asked_for(certificate: Certificate, **changes: Any) -> str | None:
    """The name that stands in it."""
    names: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.certificate, certificate.key)
    server.sni_callback = lambda _connection, name, _context: names.append(name)
    hello, answer = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello.write(client_hello(**changes))
    with pytest.raises(ssl.SSLWantReadError):
        server.wrap_bio(hello, answer, server_side=True).do_handshake()
    (name,) = names
    return name


@pytest.mark.parametrize("name", ["mail.example.com", f"{'a' * 63}.{'b' * 191}"])
def test_it_is_the_one_that_is_configured(ecdsa: Certificate, name: str) -> None:
    assert asked_for(ecdsa, name=name, server_name=True) == name


def test_bytes_that_are_no_text_are_nobody_s_name(ecdsa: Certificate) -> None:
    (certificate,) = load_certificates(str(ecdsa.certificate))
    assert not certificate.is_for(os.fsdecode(b"\xff.example.com"))
    assert b"\xff.example.com" in client_hello(name=os.fsdecode(b"\xff.example.com"), server_name=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "mail.example.com"},
        {"server_name": True},
        # RFC 6066 section 3 has no addresses there.
        {"name": "192.0.2.1", "server_name": True},
        {"name": "2001:db8::1", "server_name": True},
    ],
)
def test_it_is_none(ecdsa: Certificate, changes: dict[str, Any]) -> None:
    assert asked_for(ecdsa, **changes) is None
