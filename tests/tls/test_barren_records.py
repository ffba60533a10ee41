"""Records that cost work and bring no data: a step takes a bounded number of bytes, and so does a connection."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.messages import Message

from mailworker.errors import TlsError
from mailworker.native.core.readiness import READ, WRITE
from tests.support.certificates import Certificate
from tests.support.hostile_tls import HostileClient
from tests.tls.conftest import ConnectRaw
from tests.tls.peers import RawPair, build

STEP = 32768
BARREN_HANDSHAKE = 262144
BARREN_RECORDS = 65536
RECORD = 16640 + 5  # bytes, the longest
BUFFER = RECORD + 1024  # bytes at most that one read of OpenSSL asks for
HANDSHAKE = 22
KEY_UPDATE = 27  # bytes
HELLO_LIMIT = 131396  # OpenSSL's


@pytest.fixture
def pair(connect_raw: ConnectRaw, ecdsa: Certificate) -> RawPair:
    return connect_raw(build(ecdsa))


def shake_hands(pair: RawPair, step: Callable[[], object]) -> None:
    """Both sides at once; `step` is the client's, which blocks."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(step)
        pair.ours.setblocking(True)
        while pair.server.handshake() is not None:
            pass
        pair.ours.setblocking(False)
        done.result()


@pytest.fixture
def hostile(pair: RawPair) -> Iterator[HostileClient]:
    clients: list[HostileClient] = []
    pair.theirs.setblocking(True)
    shake_hands(pair, lambda: clients.append(HostileClient(pair.theirs)))
    (client,) = clients
    with closing(client):
        yield client


def unread(connected: socket.socket) -> int:
    """Bytes that wait in the socket."""
    answer: bytes = fcntl.ioctl(connected, termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", answer)[0])


def sent(pair: RawPair, data: bytes) -> None:
    """All of it, at once."""
    pair.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(data))
    pair.theirs.setblocking(False)
    assert pair.theirs.send(data) == len(data)


def test_a_step_takes_a_bounded_number_of_bytes_and_waits_for_the_rest(pair: RawPair, hostile: HostileClient) -> None:
    updates = hostile.key_updates(BARREN_RECORDS // KEY_UPDATE - 1)
    sent(pair, updates + hostile.data(b"data"))
    steps, before = [], unread(pair.ours)
    while (received := pair.server.recv(100)) is READ:
        steps.append(before - unread(pair.ours))
        before = unread(pair.ours)
    assert received == b"data"
    assert len(steps) >= len(updates) // (STEP + BUFFER)
    assert max(steps) < STEP + BUFFER


@pytest.mark.parametrize("requested", [False, True])
def test_key_updates_without_end_are_an_error_of_the_peer(
    pair: RawPair, hostile: HostileClient, requested: bool
) -> None:
    sent(pair, hostile.key_updates(2 * BARREN_RECORDS // KEY_UPDATE, requested=requested))
    before = unread(pair.ours)
    with pytest.raises(TlsError, match="SSL_read") as raised:
        while (want := pair.server.recv(100)) in (READ, WRITE):
            if want is WRITE:  # it answers each request, which we do not want to know
                pair.theirs.recv(1 << 20)
    assert "too many key updates" in raised.value.reasons[-1]
    assert before - unread(pair.ours) < BARREN_RECORDS + STEP + BUFFER
    assert pair.server.close_notify() is None  # nothing more is done with it


def test_a_write_takes_the_rest_of_a_key_update(pair: RawPair) -> None:
    """OpenSSL writes nothing in the middle of one, where a read that took all its bytes may have left it."""
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = (3, 4)
    pair.theirs.setblocking(True)
    client = TLSConnection(pair.theirs)
    shake_hands(pair, lambda: client.handshakeClientCert(settings=settings))

    def send(content: bytes, padding: int = 0) -> None:
        client._recordLayer.padding_cb = lambda length, kind, most: padding
        for _ in client._sendMsg(Message(HANDSHAKE, bytearray(content))):
            pass

    pair.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * STEP)
    for piece in (b"\x18", b"\0\0\1"):
        send(piece, padding=(1 << 14) - 3)
    assert pair.server.recv(100) is READ
    assert unread(pair.ours) == 0
    send(b"\0")
    assert pair.server.send(b"greeting") == len(b"greeting")


def test_key_updates_between_data_are_nothing_bad(pair: RawPair, hostile: HostileClient) -> None:
    for number in range(5):
        sent(pair, hostile.key_updates(BARREN_RECORDS // KEY_UPDATE // 2) + hostile.data(b"%d" % number))
        while (received := pair.server.recv(100)) is READ:
            pass
        assert received == b"%d" % number


def test_the_longest_records_are_read_in_one_step_each(pair: RawPair, hostile: HostileClient) -> None:
    content = bytes(1 << 14)
    for _ in range(8):
        sent(pair, hostile.data(content))
        left = len(content)
        while left:
            received = pair.server.recv(left)
            assert isinstance(received, bytes)
            left -= len(received)


def test_a_goodbye_is_not_waited_for_behind_key_updates_without_end(pair: RawPair, hostile: HostileClient) -> None:
    sent(pair, hostile.key_updates(2 * BARREN_RECORDS // KEY_UPDATE))
    with pytest.raises(TlsError, match="SSL_shutdown"):
        while pair.server.shutdown() is not None:
            pass


def fragments(message: bytes) -> bytes:
    """A record for each byte."""
    return b"".join(struct.pack("!BHHB", HANDSHAKE, 0x0301, 1, byte) for byte in message)


def test_a_handshake_in_pieces_is_bounded_too(pair: RawPair) -> None:
    message = b"\1" + HELLO_LIMIT.to_bytes(3, "big") + bytes(HELLO_LIMIT)
    left = memoryview(fragments(message))
    whole, largest = len(left), 0
    pair.theirs.setblocking(False)
    with pytest.raises(TlsError, match="SSL_do_handshake") as raised:
        while left:
            left = left[pair.theirs.send(left[:STEP]) :]
            before = unread(pair.ours)
            assert pair.server.handshake() is READ
            largest = max(largest, before - unread(pair.ours))
    assert "excessive message size" in raised.value.reasons[-1]
    assert whole - len(left) < BARREN_HANDSHAKE + 3 * STEP
    assert largest < STEP + BUFFER


HELLO = bytearray(b"\1\0\0\x29\3\3" + bytes(32) + b"\0\0\2\xc0\x2b\1\0")


def test_renegotiations_without_end_are_an_error_of_the_peer(pair: RawPair) -> None:
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = (3, 3)
    pair.theirs.setblocking(True)
    attacker = TLSConnection(pair.theirs)
    shake_hands(pair, lambda: attacker.handshakeClientCert(settings=settings))
    taken = 0
    with pytest.raises(TlsError) as raised:
        while taken < 2 * BARREN_RECORDS:
            before = unread(pair.ours)
            for _ in attacker._sendMsg(Message(HANDSHAKE, HELLO)):
                pass
            taken += unread(pair.ours) - before
            while pair.server.recv(100) is READ and unread(pair.ours):
                pass
            pair.theirs.recv(100, socket.MSG_DONTWAIT)  # the refusal
    assert taken <= BARREN_RECORDS + 200
    assert "no renegotiation" in raised.value.reasons[-1]
