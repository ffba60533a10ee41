from __future__ import annotations

import errno
import hashlib
import random
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from select import select
from typing import Protocol

import pytest

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.native import connection
from mailworker.native.certificate import load_certificates
from mailworker.native.connection import Connection, Handle
from mailworker.native.context import Context
from mailworker.native.key import load_key
from mailworker.native.relay import Pump, RelayStatus
from tests.support.certificates import CertificateAuthority, ecdsa_key

CHUNK = 4096
BOUND = 262144  # of relay.c
COPIED = 65536
MEGABYTES = 4
WAIT_LIMIT = 10.0


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"))
    issued = authority.issue_server("server", ecdsa_key(), ("mail.example.com",))
    context = Context(b"")
    context.use_certificate(load_certificates(str(issued.certificate))[0], ())
    context.use_key(load_key(str(issued.key), None))
    return context


class Side:
    """One side of a relay: our socket, and the peer's, plain or TLS."""

    def __init__(self, ours: socket.socket, peer: socket.socket, native: Connection | None) -> None:
        self.ours = ours
        self.peer = peer
        self._native = native

    @property
    def fd(self) -> int:
        return self.ours.fileno()

    @property
    def handle(self) -> Handle | None:
        return None if self._native is None else self._native.handle

    def peer_sends(self, data: memoryview) -> int:
        try:
            return self.peer.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0

    def peer_receives(self, limit: int) -> bytes | None:
        try:
            return self.peer.recv(limit)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None

    def peer_ends(self) -> bool:
        """End the peer's direction, TLS in its own words; False where that has to wait."""
        if not isinstance(self.peer, ssl.SSLSocket):
            self.peer.shutdown(socket.SHUT_WR)
            return True
        try:
            self.peer.unwrap()
        except ssl.SSLWantReadError:  # ours is sent
            return True
        except ssl.SSLWantWriteError:
            return False
        return True

    def farewell(self) -> int:
        assert self._native is not None
        return connection.close_notify(self._native.handle)

    def close(self) -> None:
        if self._native is not None:
            self._native.free()
        self.ours.close()
        self.peer.close()


class MakeSide(Protocol):
    def __call__(self, *, tls: bool, buffer: int | None = None, tcp: bool = False) -> Side: ...


@pytest.fixture
def make_side(context: Context) -> Iterator[MakeSide]:
    with ExitStack() as stack:

        def make(*, tls: bool, buffer: int | None = None, tcp: bool = False) -> Side:
            ours, peer = _tcp_pair() if tcp else socket.socketpair()
            for end in (ours, peer):
                end.setblocking(False)
                if buffer is not None:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            side = _shaken_hands(context, ours, peer) if tls else Side(ours, peer, None)
            stack.callback(side.close)
            return side

        yield make


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    return ours, theirs


def _shaken_hands(context: Context, ours: socket.socket, peer: socket.socket) -> Side:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    wrapped = client.wrap_socket(peer, do_handshake_on_connect=False)
    native = Connection(context, ours.fileno())
    ours_done = peers_done = False
    while not (ours_done and peers_done):
        try:
            wrapped.do_handshake()
            peers_done = True
        except ssl.SSLWantReadError:
            peers_done = False
        ours_done = connection.handshake(native.handle, False) == 1
    return Side(ours, wrapped, native)


class Relay:
    """One direction, as a worker drives it."""

    def __init__(self, source: Side, sink: Side, limit: int = CHUNK) -> None:
        self.pump = Pump(limit)
        self.source = source
        self.sink = sink
        self.limit = limit
        self.kept = b""
        self.ended = False

    def step(self) -> int:
        pump, sink = self.pump, self.sink
        if self.kept:
            status = pump.flush(self.kept, sink.fd, sink.handle)
            self.kept = self.kept[pump.moved :]
            return status
        status = pump.move(self.source.fd, self.source.handle, sink.fd, sink.handle, self.limit)
        if status == RelayStatus.SINK_BLOCKED:
            self.kept = pump.kept()
            assert 0 < len(self.kept) <= self.limit
        self.ended = status == RelayStatus.END
        return status


COMBINATIONS = [(False, False), (True, False), (False, True), (True, True)]
IDS = ["plain to plain", "TLS to plain", "plain to TLS", "TLS to TLS"]


@pytest.mark.parametrize("limit", [CHUNK, 1000])
@pytest.mark.parametrize(("source_tls", "sink_tls"), COMBINATIONS, ids=IDS)
def test_megabytes_arrive_byte_for_byte_through_small_buffers(
    make_side: MakeSide, source_tls: bool, sink_tls: bool, limit: int
) -> None:
    source, sink = make_side(tls=source_tls, buffer=8192), make_side(tls=sink_tls, buffer=4096)
    relay = Relay(source, sink, limit)
    sent = random.Random(limit).randbytes(MEGABYTES << 20)
    pace = random.Random(1)
    unsent = memoryview(sent)
    received = hashlib.sha256()
    blocked = 0
    ended = False
    while True:
        if unsent:
            unsent = unsent[source.peer_sends(unsent[:16384]) :]
        elif not ended:
            ended = source.peer_ends()
        status = relay.step()
        assert status not in {RelayStatus.SOURCE_FAILED, RelayStatus.SINK_FAILED}
        blocked += status == RelayStatus.SINK_BLOCKED
        if relay.ended:
            break
        if pace.random() < 0.5 and (data := sink.peer_receives(pace.randrange(1, 10000))) is not None:
            received.update(data)
    while (data := sink.peer_receives(65536)) is not None:
        received.update(data)
    assert received.digest() == hashlib.sha256(sent).digest()
    assert blocked > 0


@pytest.mark.parametrize(("source_tls", "sink_tls"), COMBINATIONS, ids=IDS)
def test_nothing_to_read_waits_for_the_source(make_side: MakeSide, source_tls: bool, sink_tls: bool) -> None:
    relay = Relay(make_side(tls=source_tls), make_side(tls=sink_tls))
    assert relay.step() == RelayStatus.SOURCE_BLOCKED
    assert not relay.pump.wants_write
    assert relay.pump.moved == 0
    relay.source.peer.send(b"a NOOP\r\n")
    assert relay.step() == RelayStatus.SOURCE_BLOCKED
    assert relay.pump.moved == 8
    assert relay.sink.peer_receives(100) == b"a NOOP\r\n"


@pytest.mark.parametrize(("source_tls", "sink_tls"), COMBINATIONS, ids=IDS)
def test_one_call_moves_a_bounded_amount(make_side: MakeSide, source_tls: bool, sink_tls: bool) -> None:
    source = make_side(tls=source_tls, buffer=4 * BOUND, tcp=True)
    relay = Relay(source, make_side(tls=sink_tls, buffer=4 * BOUND, tcp=True))
    assert fill(source) > BOUND + COPIED
    assert relay.step() == RelayStatus.MORE
    assert 0 < relay.pump.moved <= BOUND + COPIED


def test_bulk_goes_in_chunks_as_large_as_the_sink_has_room_for(make_side: MakeSide) -> None:
    """Were they of the limit, the 64 rounds of one call would move 64,000 bytes at most."""
    source, sink = make_side(tls=False, buffer=2 * BOUND, tcp=True), make_side(tls=False, buffer=2 * BOUND, tcp=True)
    relay = Relay(source, sink, limit=1000)
    fill(source)
    relay.step()
    assert relay.pump.moved > 64 * 1000


def fill(side: Side) -> int:
    """Let the peer send until nothing more goes in, as the kernel takes its time; tells how many bytes went."""
    sent = 0
    while select([], [side.peer], [], 0.2)[1]:
        sent += side.peer_sends(memoryview(bytes(16384)))
    return sent


@pytest.mark.parametrize("tls", [False, True])
def test_what_a_full_sink_does_not_take_is_kept(make_side: MakeSide, tls: bool) -> None:
    relay = Relay(make_side(tls=False), make_side(tls=tls, buffer=4096))
    moved = 0
    status: int = RelayStatus.MORE
    while status != RelayStatus.SINK_BLOCKED:
        relay.source.peer.send(bytes(CHUNK))
        status = relay.step()
        moved += relay.pump.moved
    assert relay.pump.wants_write
    assert relay.kept
    assert relay.step() == RelayStatus.SINK_BLOCKED
    assert relay.pump.moved == 0
    received = 0
    total = moved + len(relay.kept)
    while received < total:
        if relay.kept:
            relay.step()
        received += len(relay.sink.peer_receives(65536) or b"")
    assert received == total
    assert relay.kept == b""


@pytest.mark.parametrize("tls", [False, True])
def test_the_end_comes_after_the_last_byte(make_side: MakeSide, tls: bool) -> None:
    relay = Relay(make_side(tls=tls), make_side(tls=False))
    relay.source.peer.send(b"* BYE\r\n")
    relay.source.peer_ends()
    while relay.step() != RelayStatus.END:
        assert not relay.ended
    assert relay.sink.peer_receives(100) == b"* BYE\r\n"


def _reset(side: Side) -> None:
    raw = socket.socket(fileno=side.peer.detach())
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    assert select([side.ours], [], [], WAIT_LIMIT)[0]


@pytest.mark.parametrize(("tls", "call"), [(False, "recv()"), (True, "SSL_read()")])
def test_a_source_that_resets(make_side: MakeSide, tls: bool, call: str) -> None:
    relay = Relay(make_side(tls=tls, tcp=True), make_side(tls=False))
    _reset(relay.source)
    status = relay.step()
    assert status == RelayStatus.SOURCE_FAILED
    failure = relay.pump.failure(status, Party.CLIENT, tls=tls)
    assert isinstance(failure, ConnectionLost)
    assert (failure.party, failure.call, failure.errno) == (Party.CLIENT, call, errno.ECONNRESET)


@pytest.mark.parametrize(("tls", "call"), [(False, "send()"), (True, "SSL_write()")])
def test_a_sink_that_has_gone(make_side: MakeSide, tls: bool, call: str) -> None:
    relay = Relay(make_side(tls=False), make_side(tls=tls))
    relay.sink.peer.close()
    relay.source.peer.send(b"a NOOP\r\n")
    status = relay.step()
    assert status == RelayStatus.SINK_FAILED
    failure = relay.pump.failure(status, Party.UPSTREAM, tls=tls)
    assert isinstance(failure, ConnectionLost)
    assert (failure.party, failure.call) == (Party.UPSTREAM, call)
    assert failure.errno in {errno.EPIPE, errno.ECONNRESET}


def test_a_source_whose_records_are_broken(make_side: MakeSide) -> None:
    relay = Relay(make_side(tls=True), make_side(tls=False))
    with socket.socket(fileno=relay.source.peer.detach()) as raw:
        raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        status = relay.step()
    assert status == RelayStatus.SOURCE_FAILED
    failure = relay.pump.failure(status, Party.CLIENT, tls=True)
    assert isinstance(failure, TlsError)
    assert failure.reasons
    assert relay.source.farewell() == 1
