"""A server's TlsConnection joined to a client of Python's ssl module, both in one thread."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from select import select
from typing import Any, NamedTuple, Protocol, TypeVar

from mailworker.native.core.readiness import Readiness
from mailworker.tls.connection import TlsConnection
from mailworker.tls.context import TlsContext
from tests.support.certificates import Certificate
from tests.support.settings import ssl_settings

_Result = TypeVar("_Result")
_WAITING = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
WAIT_LIMIT = 10.0


def build(certificate: Certificate, alpn: bytes = b"imap", **changes: Any) -> TlsContext:
    return TlsContext.build(ssl_settings(certificate, **changes), alpn)


def client_context(authority: Path | None = None, certificate: Certificate | None = None) -> ssl.SSLContext:
    """A client that trusts `authority` only, or anybody where there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if authority is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authority)
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


class Connector(Protocol):
    """What makes a server's connections."""

    def connection(self, descriptor: int, /) -> TlsConnection: ...


class RawPair(NamedTuple):
    """A server's connection, its socket, and the client's socket."""

    server: TlsConnection
    ours: socket.socket
    theirs: socket.socket


class Pair:
    """Both ends of a connection, not yet shaken hands."""

    def __init__(
        self,
        context: Connector,
        client: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        *,
        tcp: bool = False,
        server_name: str | None = None,
    ) -> None:
        self.server_socket, client_socket = tcp_pair() if tcp else socket.socketpair()
        self.server_socket.setblocking(False)
        client_socket.setblocking(False)
        self.server = context.connection(self.server_socket.fileno())
        self.client = (client or client_context()).wrap_socket(
            client_socket, do_handshake_on_connect=False, session=session, server_hostname=server_name
        )

    def shake_hands(self) -> Pair:
        """Take steps on both sides until both are done; raises what either raises."""
        client_done = server_done = False
        while not (client_done and server_done):
            client_done = client_done or client_step(self.client.do_handshake) is not None
            server_done = server_done or self.server.handshake() is None
        return self

    def to_client(self, data: bytes) -> bytes:
        """Send `data` and return what the client reads: whole if it is short."""
        if self.server.send(data) != len(data):
            raise AssertionError("a short write on an idle connection")
        return self.client.recv(len(data))

    def to_server(self, data: bytes) -> bytes | Readiness:
        """Send `data` and return what the server reads."""
        self.client.send(data)
        return self.server.recv(len(data))

    def close(self) -> None:
        self.server.free()
        self.server_socket.close()
        self.client.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Like socketpair(), over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    return ours, theirs


def client_step(step: Callable[[], _Result]) -> _Result | bool | None:
    """The step's result, True where it has none, None where it waits for the peer."""
    try:
        result = step()
    except _WAITING:
        return None
    return True if result is None else result


def reset(connected: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connected.close()


def await_readable(connected: socket.socket) -> None:
    if not select([connected], [], [], WAIT_LIMIT)[0]:
        raise TimeoutError("nothing to read")
