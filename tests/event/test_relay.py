from __future__ import annotations

import errno
import gc
import hashlib
import os
import random
import socket
import struct
import sys
import weakref
from fcntl import ioctl
from select import select

import pytest

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.event.poller import READ, WRITE
from mailworker.native.tls import connection
from mailworker.native.tls._native import ffi
from tests.event.relays import CHUNK, Line, MakeLine, MakeRelay, Relay
from tests.support.implementations import Implementation

BOUND = 262144  # of pump.c
FIRST, COPIED = 65536, 262144
MEGABYTES = 4
WAIT_LIMIT = 10.0
_SIOCOUTQNSD = 0x894B  # linux/sockios.h


COMBINATIONS = [(False, False), (True, False), (False, True), (True, True)]
IDS = ["plain to plain", "TLS to plain", "plain to TLS", "TLS to TLS"]
all_combinations = pytest.mark.parametrize(("source_tls", "sink_tls"), COMBINATIONS, ids=IDS)


@pytest.mark.parametrize("limit", [CHUNK, 1000])
@all_combinations
def test_megabytes_arrive_byte_for_byte_through_small_buffers(
    make_line: MakeLine, make_relay: MakeRelay, source_tls: bool, sink_tls: bool, limit: int
) -> None:
    source, sink = make_line(tls=source_tls, buffer=8192), make_line(tls=sink_tls, buffer=4096)
    relay = make_relay(source, sink, limit)
    sent = random.Random(limit).randbytes(MEGABYTES << 20)
    pace = random.Random(1)
    unsent = memoryview(sent)
    received = hashlib.sha256()
    blocked = 0
    ended = False
    while not relay.sides[0].ended:
        if unsent:
            unsent = unsent[source.peer_sends(unsent[:16384]) :]
        elif not ended:
            ended = source.peer_ends()
        relay.turn()
        assert len(relay.kept) <= limit
        blocked += bool(relay.kept)
        if pace.random() < 0.5 and (data := sink.peer_receives(pace.randrange(1, 10000))) is not None:
            received.update(data)
    while data := sink.peer_receives(65536):
        received.update(data)
    assert received.digest() == hashlib.sha256(sent).digest()
    assert blocked > 0
    assert relay.told == ["half_close"]
    assert [(side.received, side.sent) for side in relay.sides] == [(len(sent), 0), (0, len(sent))]


@all_combinations
def test_nothing_to_read_waits_for_the_source(
    make_line: MakeLine, make_relay: MakeRelay, source_tls: bool, sink_tls: bool
) -> None:
    relay = make_relay(make_line(tls=source_tls), make_line(tls=sink_tls))
    for _ in range(2):
        relay.sides[0].ready(READ)
        assert relay.events == (READ, READ)
        relay.source.peer.send(b"a NOOP\r\n")
        relay.turn(WAIT_LIMIT)
        assert relay.events == (READ, READ)
        assert relay.sink.peer_receives(100) == b"a NOOP\r\n"
    assert not relay.loop.turns


def test_the_loop_s_clock_says_when_a_side_was_active(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False))
    relay.loop.now = 5.5
    relay.sides[1].ready(READ)
    assert [side.active for side in relay.sides] == [1.0, 5.5]


@pytest.mark.parametrize("tls", [False, True])
def test_what_was_read_before_goes_first(make_line: MakeLine, make_relay: MakeRelay, tls: bool) -> None:
    source = make_line(tls=tls)
    source.peer.send(b"b NOOP\r\n")
    relay = make_relay(source, make_line(tls=False), pending=b"a NOOP\r\n")
    relay.turn()
    assert relay.sink.peer_receives(100) == b"a NOOP\r\nb NOOP\r\n"


def test_what_openssl_holds_at_the_beginning_is_passed_on(make_line: MakeLine, make_relay: MakeRelay) -> None:
    source = make_line(tls=True)
    source.peer.send(b"a NOOP\r\nb NOOP\r\n")
    assert select([source.fd], [], [], WAIT_LIMIT)[0]
    assert source.native is not None
    page = ffi.new("char[]", 8)
    assert connection.read(source.native.handle, page, 8) == 8
    relay = make_relay(source, make_line(tls=False))
    assert relay.sink.peer_receives(100) == b"b NOOP\r\n"


@all_combinations
def test_one_call_moves_a_bounded_amount(
    make_line: MakeLine, make_relay: MakeRelay, source_tls: bool, sink_tls: bool
) -> None:
    relay = make_relay(
        make_line(tls=source_tls, buffer=4 * BOUND, tcp=True), make_line(tls=sink_tls, buffer=4 * BOUND, tcp=True)
    )
    assert fill(relay.source) > BOUND + COPIED
    relay.sides[0].ready(READ)
    assert 0 < received(relay.sink) <= BOUND + COPIED
    assert relay.loop.turns == ([relay.sides[0]] if source_tls else [])


def test_bulk_goes_in_chunks_as_large_as_the_sink_has_room_for(make_line: MakeLine, make_relay: MakeRelay) -> None:
    """Were they of the limit, the 64 rounds of one call would move 64,000 bytes at most."""
    source, sink = make_line(tls=False, buffer=2 * BOUND, tcp=True), make_line(tls=False, buffer=2 * BOUND, tcp=True)
    relay = make_relay(source, sink, limit=1000)
    fill(source)
    relay.sides[0].ready(READ)
    assert received(sink) > 64 * 1000


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells what a socket has not sent")
@pytest.mark.parametrize(("limit", "size"), [(CHUNK, CHUNK), (COPIED, FIRST)])
def test_a_chunk_that_was_held_back_for_the_next_one_is_sent_where_none_comes(
    make_line: MakeLine, make_relay: MakeRelay, limit: int, size: int
) -> None:
    source, sink = make_line(tls=False, tcp=True), make_line(tls=True, tcp=True)
    relay = make_relay(source, sink, limit=limit)
    with socket.fromfd(sink.fd, socket.AF_INET, socket.SOCK_STREAM) as same:
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as accepted connections have
    assert source.peer_sends(memoryview(bytes(size))) == size
    relay.sides[0].ready(READ)
    assert unsent(sink) == 0
    assert relay.sides[1].sent == size


def unsent(line: Line) -> int:
    """How many bytes are in our socket of which the network has not seen anything."""
    return int.from_bytes(ioctl(line.fd, _SIOCOUTQNSD, bytes(4)), sys.byteorder)


def fill(line: Line) -> int:
    """Let the peer send until nothing more goes in, as the kernel takes its time; tells how many bytes went."""
    sent = 0
    while select([], [line.peer], [], 0.2)[1]:
        sent += line.peer_sends(memoryview(bytes(16384)))
    return sent


def received(line: Line) -> int:
    """How many bytes have come to the peer."""
    count = 0
    while select([line.peer], [], [], 0.2)[0]:
        count += len(line.peer_receives(1 << 20) or b"")
    return count


@pytest.mark.parametrize("tls", [False, True])
def test_what_a_full_sink_does_not_take_is_kept(make_line: MakeLine, make_relay: MakeRelay, tls: bool) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=tls, buffer=4096))
    sent = 0
    while not relay.kept:
        sent += relay.source.peer.send(bytes(CHUNK))
        relay.turn()
    assert relay.events == (0, READ | WRITE)
    kept = relay.kept
    relay.sides[1].ready(WRITE)
    assert relay.kept == kept
    arrived = 0
    while arrived < sent:
        arrived += len(relay.sink.peer_receives(65536) or b"")
        relay.turn()
    assert arrived == sent
    assert relay.kept == b""
    assert relay.events == (READ, READ)


@pytest.mark.parametrize("tls", [False, True])
def test_the_end_comes_after_the_last_byte(make_line: MakeLine, make_relay: MakeRelay, tls: bool) -> None:
    relay = make_relay(make_line(tls=tls), make_line(tls=False))
    relay.source.peer.send(b"* BYE\r\n")
    relay.source.peer_ends()
    while not relay.told:
        relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close"]
    assert relay.events == (0, READ)
    assert relay.sink.peer.recv(100) == b"* BYE\r\n"
    assert relay.sink.peer.recv(100) == b""
    relay.sink.peer.send(b"+OK\r\n")
    relay.sink.peer_ends()
    while len(relay.told) < 2:
        relay.turn(WAIT_LIMIT)
    assert relay.told == ["half_close", "finish"]
    assert relay.source.peer_receives(100) == b"+OK\r\n"
    assert relay.source.peer_receives(100) == b""
    assert not relay.loop.watched


def test_a_side_that_was_never_joined_can_be_closed(make_line: MakeLine, implementation: Implementation) -> None:
    relay = Relay(make_line(tls=False), make_line(tls=False), implementation=implementation, joined=False)
    relay.close()
    assert [side.closed for side in relay.sides] == [True, True]
    assert relay.source.peer_receives(1) == relay.sink.peer_receives(1) == b""
    relay.pump.close()


def test_a_side_that_was_closed_is_deaf(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False))
    relay.close()
    assert not relay.loop.watched
    for side in relay.sides:
        assert side.closed
        side.ready(READ | WRITE)
        side.close()
    assert not relay.told


def test_nothing_is_left_of_a_relay_that_was_closed(make_line: MakeLine, implementation: Implementation) -> None:
    relay = Relay(make_line(tls=True), make_line(tls=False), implementation=implementation)
    gone = weakref.ref(relay)
    gc.disable()
    try:
        relay.close()
        del relay
        assert gone() is None
    finally:
        gc.enable()


def _reset(line: Line) -> None:
    raw = socket.socket(fileno=line.peer.detach())
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    assert select([line.fd], [], [], WAIT_LIMIT)[0]


@pytest.mark.parametrize(("tls", "call"), [(False, "recv()"), (True, "SSL_read()")])
def test_a_source_that_resets(make_line: MakeLine, make_relay: MakeRelay, tls: bool, call: str) -> None:
    relay = make_relay(make_line(tls=tls, tcp=True), make_line(tls=False))
    _reset(relay.source)
    relay.turn()
    assert relay.told == ["lose_source"]
    (failure,) = relay.failures
    assert isinstance(failure, ConnectionLost)
    assert (failure.party, failure.call, failure.errno) == (Party.CLIENT, call, errno.ECONNRESET)


@pytest.mark.parametrize(("tls", "call"), [(False, "send()"), (True, "SSL_write()")])
def test_a_sink_that_has_gone(make_line: MakeLine, make_relay: MakeRelay, tls: bool, call: str) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=tls))
    relay.sink.peer.close()
    relay.source.peer.send(b"a NOOP\r\n")
    relay.sides[0].ready(READ)
    assert relay.told == ["lose_sink"]
    (failure,) = relay.failures
    assert isinstance(failure, ConnectionLost)
    assert (failure.party, failure.call) == (Party.BACKEND, call)
    assert failure.errno in {errno.EPIPE, errno.ECONNRESET}


def test_a_source_whose_records_are_broken(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=True), make_line(tls=False))
    with socket.socket(fileno=relay.source.peer.detach()) as raw:
        raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        relay.turn(WAIT_LIMIT)
    assert relay.told == ["lose_source"]
    (failure,) = relay.failures
    assert isinstance(failure, TlsError)
    assert failure.reasons


def sealed(line: Line, *messages: bytes) -> bytes:
    """The records that the line's peer sends for `messages`, one for each, which are taken from our socket."""
    sent = b""
    for message in messages:
        line.peer.send(message)
    with socket.socket(fileno=os.dup(line.fd)) as ours:
        while select([ours], [], [], 0.05)[0]:
            sent += ours.recv(65536)
    return sent


def test_what_came_before_a_broken_record_is_passed_on(make_line: MakeLine, make_relay: MakeRelay) -> None:
    source = make_line(tls=True)
    records = sealed(source, b"a NOOP\r\n", b"b NOOP\r\n", b"c NOOP\r\n")
    broken = records[:-1] + bytes([records[-1] ^ 1])
    relay = make_relay(source, make_line(tls=False))
    with socket.socket(fileno=source.peer.detach()) as raw:
        raw.send(broken)
        while not relay.told:
            relay.turn(WAIT_LIMIT)
    assert relay.sink.peer_receives(100) == b"a NOOP\r\nb NOOP\r\n"
    assert relay.told == ["lose_source"]
    (failure,) = relay.failures
    assert isinstance(failure, TlsError)
    assert any("bad record mac" in reason or "decryption failed" in reason for reason in failure.reasons)


def test_records_that_have_come_together_leave_together(
    make_line: MakeLine, make_relay: MakeRelay, implementation: Implementation
) -> None:
    """A client that writes a record for each line costs no call, and no record, for each. Python reads one by one."""
    relay = make_relay(make_line(tls=True), make_line(tls=True))
    for number in range(100):
        relay.source.peer.send(b"line %03d\r\n" % number)
    heard: list[bytes] = []
    while len(b"".join(heard)) < 1000:
        relay.turn(WAIT_LIMIT)
        while data := relay.sink.peer_receives(65536):
            heard.append(data)
    assert b"".join(heard) == b"".join(b"line %03d\r\n" % number for number in range(100))
    assert len(heard) == 1 or implementation.name == "Python"


def test_a_bug_ends_a_relay(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False, buffer=4096))
    relay.poller.refusal = OSError(errno.ENOSPC, "no room")
    while not relay.told:
        relay.source.peer_sends(memoryview(bytes(CHUNK)))
        relay.turn()
    assert relay.told == ["abort"]
    (bug,) = relay.bugs
    assert isinstance(bug, OSError)
    assert bug.__traceback__ is not None
    assert not relay.loop.watched


def test_a_bug_at_the_beginning_ends_a_relay(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False), refusal=ZeroDivisionError())
    assert isinstance(relay.bugs[0], ZeroDivisionError)


def test_sides_are_joined_once(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False))
    with pytest.raises(TypeError):
        relay.sides[0].begin(relay.sides[1])
    with pytest.raises(TypeError):
        relay.sides[0].begin(relay)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        type(relay.sides[0])()  # type: ignore[call-arg]


def test_a_side_whose_other_is_closed_is_deaf(make_line: MakeLine, make_relay: MakeRelay) -> None:
    """Else it might write to a descriptor that has come to be another's."""
    relay = make_relay(make_line(tls=False), make_line(tls=False))
    relay.source.peer.send(b"a NOOP\r\n")
    relay.sides[1].close()
    relay.sides[0].ready(READ)
    assert not relay.told
    assert not relay.sides[0].ended
