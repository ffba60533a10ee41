"""Certificates that many tests share."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key, rsa_key
from tests.tls.peers import Pair, RawPair, tcp_pair


class Connect(Protocol):
    """Joins a server to a client of Python's ssl module; both are closed after the test."""

    def __call__(
        self,
        context: TlsContext,
        client: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        *,
        tcp: bool = False,
    ) -> Pair: ...


class ConnectRaw(Protocol):
    """Joins a server to a socket that speaks no TLS of its own; all is closed after the test."""

    def __call__(self, context: TlsContext, *, tcp: bool = False) -> RawPair: ...


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:

        def joined(
            context: TlsContext,
            client: ssl.SSLContext | None = None,
            session: ssl.SSLSession | None = None,
            *,
            tcp: bool = False,
        ) -> Pair:
            pair = Pair(context, client, session, tcp=tcp)
            stack.callback(pair.close)
            return pair

        yield joined


@pytest.fixture
def connect_raw() -> Iterator[ConnectRaw]:
    with ExitStack() as stack:

        def joined(context: TlsContext, *, tcp: bool = False) -> RawPair:
            ours, theirs = tcp_pair() if tcp else socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            ours.setblocking(False)
            theirs.setblocking(False)
            server = context.connection(ours.fileno())
            stack.callback(server.free)
            return RawPair(server, ours, theirs)

        yield joined


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def ecdsa(authority: CertificateAuthority) -> Certificate:
    return authority.issue_server("ecdsa", ecdsa_key(), ("mail.example.com",))


@pytest.fixture(scope="session")
def rsa(authority: CertificateAuthority) -> Certificate:
    return authority.issue_server("rsa", rsa_key(), ("mail.example.com",))


@pytest.fixture(scope="session")
def client_certificate(authority: CertificateAuthority) -> Certificate:
    return authority.issue_client("client", ecdsa_key(), "A client")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A client's certificate of an authority that nobody trusts."""
    unknown = CertificateAuthority(tmp_path_factory.mktemp("stranger"), "Unknown authority")
    return unknown.issue_client("client", ecdsa_key(), "A stranger")
