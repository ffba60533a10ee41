"""What a handshake sends, and in how many pieces: TLS records are looked at as they arrive."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from mailworker.native.core.readiness import READ, WRITE, Readiness
from mailworker.tls.connection import TlsConnection
from tests.support.certificates import Certificate
from tests.tls.conftest import ConnectRaw
from tests.tls.peers import RawPair, await_readable, build, client_context

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
GREETING = b"* OK ready\r\n"

every_version = pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])


class Client:
    """A TLS client that leaves it to the test when bytes come and go."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        context = client_context()
        context.minimum_version = context.maximum_version = version
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing)

    def said(self) -> bytes:
        """What is to be sent to the server since it was asked last."""
        return self._outgoing.read()

    def hear(self, data: bytes) -> None:
        self._incoming.write(data)

    def shake_hands(self) -> bool:
        """Whether it is done."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self) -> bytes:
        return self.tls.read(1000)


def received(theirs: socket.socket) -> bytes:
    """All that has arrived, b"" for nothing."""
    try:
        return theirs.recv(1 << 20)
    except BlockingIOError:
        return b""


def has_more(raw: RawPair) -> bool:
    """Whether more comes to notice: OpenSSL has taken it in, or, from 3.2 on, left it to the system in a handshake."""
    return raw.server.pending() or bool(select.select([raw.ours], [], [], 0)[0])


def count_records(flight: bytes) -> int:
    count = 0
    while flight:
        flight = flight[5 + int.from_bytes(flight[3:5], "big") :]
        count += 1
    return count


def up_to_the_last_flight(raw: RawPair, client: Client) -> None:
    """The server has all that it needs to finish the handshake, and has not been called with it."""
    client.shake_hands()
    raw.theirs.send(client.said())
    assert raw.server.handshake() is READ
    client.hear(received(raw.theirs))
    client.shake_hands()


@every_version
def test_the_end_of_a_handshake_goes_with_the_greeting(
    connect_raw: ConnectRaw, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    raw, client = connect_raw(build(ecdsa)), Client(version)
    up_to_the_last_flight(raw, client)
    raw.theirs.send(client.said())
    assert raw.server.handshake(more=True) is None
    assert received(raw.theirs) == b""
    assert raw.server.send(GREETING) == len(GREETING)
    client.hear(received(raw.theirs))
    assert client.shake_hands()
    assert client.read() == GREETING


@pytest.mark.parametrize(("commands", "tickets"), [((), 2), ((("NumTickets", "1"),), 1)])
def test_how_many_tickets_a_client_of_tls_1_3_gets(
    connect_raw: ConnectRaw, ecdsa: Certificate, commands: tuple[tuple[str, str], ...], tickets: int
) -> None:
    raw, client = connect_raw(build(ecdsa, conf_commands=commands)), Client(TLS_1_3)
    up_to_the_last_flight(raw, client)
    raw.theirs.send(client.said())
    assert raw.server.handshake() is None
    assert count_records(received(raw.theirs)) == tickets


@every_version
def test_the_end_of_a_handshake_is_sent_at_once_where_nothing_follows(
    connect_raw: ConnectRaw, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    raw, client = connect_raw(build(ecdsa)), Client(version)
    up_to_the_last_flight(raw, client)
    raw.theirs.send(client.said())
    assert raw.server.handshake() is None
    flight = received(raw.theirs)
    assert flight
    client.hear(flight)
    assert client.shake_hands()


def test_what_was_held_back_is_sent_before_the_connection_is_freed(connect_raw: ConnectRaw, ecdsa: Certificate) -> None:
    raw, client = connect_raw(build(ecdsa)), Client(TLS_1_2)
    up_to_the_last_flight(raw, client)
    raw.theirs.send(client.said())
    assert raw.server.handshake(more=True) is None
    raw.server.free()
    client.hear(received(raw.theirs))
    assert client.shake_hands()


def test_what_comes_with_the_end_of_the_handshake_is_pending(connect_raw: ConnectRaw, ecdsa: Certificate) -> None:
    raw, client = connect_raw(build(ecdsa)), Client(TLS_1_3)
    up_to_the_last_flight(raw, client)
    client.tls.write(b"a NOOP\r\n")
    client.tls.write(b"b NOOP\r\n")
    raw.theirs.send(client.said())
    assert raw.server.handshake() is None
    assert has_more(raw)
    assert [raw.server.recv(8), raw.server.pending(), raw.server.recv(8)] == [b"a NOOP\r\n", True, b"b NOOP\r\n"]
    assert not raw.server.pending()


def test_a_part_of_a_record_is_pending_and_no_data(connect_raw: ConnectRaw, ecdsa: Certificate) -> None:
    raw, client = connect_raw(build(ecdsa)), Client(TLS_1_3)
    up_to_the_last_flight(raw, client)
    client.tls.write(b"a NOOP\r\n")
    said = client.said()
    raw.theirs.send(said[:-1])
    assert raw.server.handshake() is None
    assert has_more(raw)
    assert raw.server.recv(100) is READ
    raw.theirs.send(said[-1:])
    assert raw.server.recv(100) == b"a NOOP\r\n"


def clog(ours: socket.socket) -> int:
    """Fill the socket; returns how many bytes the other end must throw away."""
    filled = 0
    while True:
        try:
            filled += ours.send(bytes(1000))
        except BlockingIOError:
            return filled


def unclog(theirs: socket.socket, filled: int) -> None:
    while filled:
        filled -= len(theirs.recv(filled))


def drip(step: Callable[[], Readiness | int | None], theirs: socket.socket) -> bytes:
    """Call `step` again and again until it does not want to write, and take what arrives meanwhile."""
    arrived = b""
    while step() is WRITE:
        arrived += received(theirs)
    return arrived + received(theirs)


@every_version
def test_a_full_socket_delays_flights_and_loses_nothing(
    connect_raw: ConnectRaw, ecdsa: Certificate, version: ssl.TLSVersion
) -> None:
    raw, client = connect_raw(build(ecdsa)), Client(version)
    server: TlsConnection = raw.server
    client.shake_hands()
    raw.theirs.send(client.said())
    filled = clog(raw.ours)
    assert server.handshake() is WRITE
    assert server.handshake() is WRITE
    unclog(raw.theirs, filled)
    client.hear(drip(server.handshake, raw.theirs))
    client.shake_hands()
    raw.theirs.send(client.said())
    filled = clog(raw.ours)
    assert server.handshake(more=True) is None
    assert server.send(GREETING) is WRITE
    unclog(raw.theirs, filled)
    client.hear(drip(lambda: server.send(GREETING), raw.theirs))
    assert client.shake_hands()
    assert client.read() == GREETING


@every_version
def test_a_flight_that_goes_in_pieces_arrives_whole(
    connect_raw: ConnectRaw, ecdsa: Certificate, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    chain = tmp_path / "chain.crt"
    chain.write_bytes(ecdsa.certificate.read_bytes() * 100)
    raw, client = connect_raw(build(ecdsa, certificates=(str(chain),)), tcp=True), Client(version)
    for end, option in ((raw.ours, socket.SO_SNDBUF), (raw.theirs, socket.SO_RCVBUF)):
        end.setsockopt(socket.SOL_SOCKET, option, 1)
    client.shake_hands()
    raw.theirs.send(client.said())
    await_readable(raw.ours)
    pieces = 0
    while raw.server.handshake() is WRITE:
        await_readable(raw.theirs)
        client.hear(received(raw.theirs))
        pieces += 1
    assert pieces
    client.shake_hands()
    while not (said := client.said()):
        await_readable(raw.theirs)
        client.hear(received(raw.theirs))
        client.shake_hands()
    raw.theirs.send(said)
    await_readable(raw.ours)
    assert raw.server.handshake() is None
