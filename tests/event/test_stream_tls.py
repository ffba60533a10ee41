from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
from unittest.mock import patch

import pytest

from mailworker.errors import ConnectionLost, PeerError, TimedOut, TlsError
from mailworker.event.stream import SocketStream
from mailworker.event.task import sleep
from mailworker.tls.connection import TlsConnection
from mailworker.tls.context import TlsContext
from mailworker.tls.virtual_servers import ChoosingConnection
from tests.event.bench import Bench, anonymous_client, secure, thread
from tests.support.certificates import Certificate
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.settings import ssl_settings
from tests.tls.servers import door_to

_BULK = os.urandom(1 << 20)
_LINGER_NOT = struct.pack("ii", 1, 0)


Ends = tuple[SocketStream, socket.socket]


@pytest.mark.parametrize("chooses", [False, True])
@pytest.mark.parametrize("more", [False, True])
def test_talks_to_a_client(
    bench: Bench, ends: Ends, context: TlsContext, certificate: Certificate, more: bool, chooses: bool
) -> None:
    """If the client `chooses` a server by its name, OpenSSL's connection is another one then, and the first is gone."""
    stream, connected = ends
    received: list[bytes] = []
    servers = {name: TlsContext.build(ssl_settings(certificate), b"imap") for name in ("a.example", "mail.example.com")}

    async def server() -> None:
        assert stream.tls is None
        await stream.start_tls(door_to(servers).selection() if chooses else context, more=more)
        assert stream.tls is not None
        assert stream.tls.protocol == "TLSv1.3"
        await stream.write(b"welcome")
        received.append(await stream.read(100))
        stream.close()

    def client() -> None:
        peer = secure(connected)
        peer.expect(b"welcome")
        peer.send(b"hello")
        assert peer.rest() == b""
        peer.close()

    with thread(client):
        bench.run(server())
    assert received == [b"hello"]
    assert stream.tls is None


class Choice:
    """Makes connections that go on in another context, after which the choice breaks down."""

    def __init__(self, first: TlsContext, chosen: TlsContext) -> None:
        self._first, self._chosen = first, chosen

    def connection(self, descriptor: int) -> TlsConnection:
        return ChoosingConnection(self._first.native, descriptor, self._choose)

    def _choose(self, connection: TlsConnection) -> None:
        connection.follow(self._chosen.native)
        raise LookupError("after the choice")


def test_after_a_choice_that_breaks_down_the_chosen_connection_is_used(
    bench: Bench, ends: Ends, context: TlsContext
) -> None:
    stream, connected = ends
    choice = Choice(context, TlsContext.build(context.settings, b"imap"))

    async def server() -> None:
        with pytest.raises(LookupError, match="after the choice"):
            await stream.start_tls(choice)
        assert stream.agreement is not None
        await stream.write(b"sorry")  # as after a bug of ours; it goes on with the handshake first
        stream.close()

    def client() -> None:
        peer = secure(connected)
        peer.expect(b"sorry")
        peer.close()

    with thread(client):
        bench.run(server())


def test_what_was_said_in_clear_before_stays_out_of_tls(bench: Bench, ends: Ends, context: TlsContext) -> None:
    stream, connected = ends
    received: list[bytes] = []

    async def server() -> None:
        received.append(await stream.peek(100))
        received.append(await stream.read(100))
        await stream.write(b"go ahead")
        await stream.start_tls(context)
        received.append(await stream.read(100))
        stream.close()

    def client() -> None:
        peer = Peer(connected)
        peer.talk((b"STARTTLS", b"go ahead"))
        peer.start_tls(anonymous_client())
        peer.send(b"inside")
        assert peer.rest() == b""
        peer.close()

    with thread(client):
        bench.run(server())
    assert received == [b"STARTTLS", b"STARTTLS", b"inside"]


@pytest.mark.parametrize("piece", [1, 100])
def test_a_handshake_and_input_may_come_in_pieces(bench: Bench, ends: Ends, context: TlsContext, piece: int) -> None:
    """The client's last flight comes together with its first input."""
    stream, connected = ends
    received: list[bytes] = []
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = anonymous_client().wrap_bio(incoming, outgoing)

    async def server() -> None:
        await stream.start_tls(context)
        while len(b"".join(received)) < len(b"first and second"):
            received.append(await stream.read(100))
        stream.close()

    def client() -> None:
        connected.settimeout(PATIENCE)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                send_in_pieces(outgoing.read())
                incoming.write(connected.recv(65536))
        tls.write(b"first ")
        tls.write(b"and second")
        send_in_pieces(outgoing.read())
        while connected.recv(65536):
            pass

    def send_in_pieces(data: bytes) -> None:
        for start in range(0, len(data), piece):
            connected.send(data[start : start + piece])

    with thread(client):
        bench.run(server())
    assert b"".join(received) == b"first and second"


def test_small_reads_empty_a_record_that_no_selector_sees(bench: Bench, ends: Ends, context: TlsContext) -> None:
    stream, connected = ends
    pieces: list[bytes] = []

    async def server() -> None:
        await stream.start_tls(context)
        stream.deadline = bench.loop.now + 5
        for _ in range(10):
            pieces.append(await stream.read(1))
        stream.close()

    def client() -> None:
        peer = secure(connected)
        peer.send(b"0123456789")
        assert peer.rest() == b""
        peer.close()

    with thread(client):
        bench.run(server())
    assert pieces == [b"%d" % digit for digit in range(10)]


def test_a_slow_reader_gets_everything(bench: Bench, ends: Ends, context: TlsContext) -> None:
    stream, connected = ends
    with socket.socket(fileno=os.dup(stream.descriptor)) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    received: list[bytes] = []

    async def server() -> None:
        await stream.start_tls(context)
        await stream.write(_BULK)
        received.append(await stream.read(100))
        stream.close()

    def client() -> None:
        peer = secure(connected)
        peer.expect(_BULK)
        peer.send(b"thanks")
        assert peer.rest() == b""
        peer.close()

    with thread(client):
        bench.run(server())
    assert received == [b"thanks"]
    assert (stream.received, stream.sent) == (len(b"thanks"), len(_BULK))  # of data, not of records


@pytest.mark.parametrize("action", ["read", "write"])
def test_a_reset_is_a_lost_connection(bench: Bench, ends: Ends, context: TlsContext, action: str) -> None:
    stream, connected = ends
    errors: list[PeerError] = []

    async def server() -> None:
        await stream.start_tls(context)
        await stream.read(100)
        await stream.write(b"y")
        try:
            await (stream.read(100) if action == "read" else stream.write(_BULK * 16))
        except PeerError as error:
            errors.append(error)
        stream.close()

    def client() -> None:
        tls = anonymous_client().wrap_socket(connected)
        tls.send(b"x")
        assert tls.recv(100) == b"y"
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        tls.close()

    with thread(client):
        bench.run(server())
    [error] = errors
    assert isinstance(error, ConnectionLost)
    assert error.call == ("SSL_read()" if action == "read" else "SSL_write()")
    assert error.errno in (errno.ECONNRESET, errno.EPIPE)


def test_a_peer_that_leaves_in_the_handshake_is_a_lost_connection(
    bench: Bench, ends: Ends, context: TlsContext
) -> None:
    stream, connected = ends
    errors: list[ConnectionLost] = []

    async def server() -> None:
        try:
            await stream.start_tls(context)
        except ConnectionLost as error:
            errors.append(error)
        await stream.end_tls()
        stream.close()

    connected.close()
    bench.run(server())
    assert [(error.call, error.errno) for error in errors] == [("SSL_do_handshake()", 0)]


def test_a_peer_that_speaks_no_tls_is_refused(bench: Bench, ends: Ends, context: TlsContext) -> None:
    stream, connected = ends
    errors: list[TlsError] = []

    async def server() -> None:
        try:
            await stream.start_tls(context)
        except TlsError as error:
            errors.append(error)
        await stream.end_tls()
        stream.close()

    connected.send(b"GET / HTTP/1.0\r\n\r\n")
    bench.run(server())
    [error] = errors
    assert error.call == "SSL_do_handshake()"
    assert error.reasons


def test_a_silent_peer_lets_its_handshake_time_out(bench: Bench, ends: Ends, context: TlsContext) -> None:
    stream, _ = ends
    errors: list[TimedOut] = []

    async def server() -> None:
        stream.deadline = bench.loop.now + 0.03
        try:
            await stream.start_tls(context)
        except TimedOut as error:
            errors.append(error)
        stream.close()

    bench.run(server())
    assert len(errors) == 1
    assert bench.closed == 1


def test_a_cancelled_handshake_frees_everything(bench: Bench, ends: Ends, context: TlsContext) -> None:
    stream, connected = ends

    async def server() -> None:
        try:
            await stream.start_tls(context)
        finally:
            stream.close()

    async def canceller() -> None:
        await sleep(0.01)
        task.cancel()

    with patch.object(TlsConnection, "free", autospec=True, side_effect=TlsConnection.free) as free:
        task = bench.start(server())
        bench.run(canceller())
    assert free.call_count == bench.closed == 1
    assert stream.tls is None
    assert connected.recv(100) == b""
