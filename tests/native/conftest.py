"""Connections and relays that are closed in the end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mailworker.native.tls.certificate import load_certificates
from mailworker.native.tls.context import Context
from mailworker.native.tls.key import load_key
from tests.native.relays import CHUNK, Line, MakeLine, MakeRelay, Relay, shaken_hands, tcp_pair
from tests.support.certificates import CertificateAuthority, ecdsa_key


@pytest.fixture(scope="session")
def line_context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"))
    issued = authority.issue_server("server", ecdsa_key(), ("mail.example.com",))
    context = Context(b"")
    context.use_certificate(load_certificates(str(issued.certificate))[0], ())
    context.use_key(load_key(str(issued.key), None))
    return context


@pytest.fixture
def make_line(line_context: Context) -> Iterator[MakeLine]:
    with ExitStack() as stack:

        def make(*, tls: bool, buffer: int | None = None, tcp: bool = False) -> Line:
            ours, peer = tcp_pair() if tcp else socket.socketpair()
            for end in (ours, peer):
                end.setblocking(False)
                if buffer is not None:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            line = shaken_hands(line_context, ours, peer) if tls else Line(ours.detach(), peer)
            stack.callback(line.peer.close)
            return line

        yield make


@pytest.fixture
def make_relay() -> Iterator[MakeRelay]:
    with ExitStack() as stack:

        def make(source: Line, sink: Line, limit: int = CHUNK, pending: bytes = b"") -> Relay:
            relay = Relay(source, sink, limit, pending)
            stack.callback(relay.pump.close)  # after a bug the relay itself is in a circle with the traceback
            stack.callback(relay.close)
            return relay

        yield make
