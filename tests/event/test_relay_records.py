"""Clients that write a TLS record for each line, as PHPMailer does."""

from __future__ import annotations

import random

import pytest

from mailworker.event.poller import READ
from tests.event.relays import MakeLine, MakeRelay, Relay

RECORDS = 2000
LONGEST = 16384
WAIT_LIMIT = 10.0


def lines(longest: int) -> list[bytes]:
    pace = random.Random(longest)
    sizes = [pace.randrange(1, 40) for _ in range(RECORDS)]
    for place in pace.sample(range(RECORDS), RECORDS // 100):
        sizes[place] = longest
    return [pace.randbytes(size) for size in sizes]


def relayed(relay: Relay, records: list[bytes], burst: int, reads: int) -> bytes:
    """What comes out of the sink, which takes `reads` bytes at a time, until the source's end has passed."""
    waiting = list(records)
    heard = b""
    while not relay.sides[0].ended:
        for record in waiting[:burst]:
            if not relay.source.peer_sends(memoryview(record)):
                break
            waiting.pop(0)
        if not waiting:
            relay.source.peer_ends()
        relay.turn(WAIT_LIMIT if not relay.kept else 0.0)
        heard += relay.sink.peer_receives(reads) or b""
    while data := relay.sink.peer_receives(LONGEST):
        heard += data
    return heard


@pytest.mark.parametrize("limit", [100, 4096, 65536])
@pytest.mark.parametrize("longest", [1000, LONGEST])
@pytest.mark.parametrize("sink_tls", [False, True])
def test_many_records_at_once_arrive_byte_for_byte_beside_long_ones(
    make_line: MakeLine, make_relay: MakeRelay, limit: int, longest: int, sink_tls: bool
) -> None:
    records = lines(longest)
    relay = make_relay(make_line(tls=True), make_line(tls=sink_tls, buffer=8192), limit)
    assert relayed(relay, records, burst=300, reads=20000) == b"".join(records)


def test_no_record_waits_for_the_next_event_of_its_socket(make_line: MakeLine, make_relay: MakeRelay) -> None:
    """The socket is empty long before all records that were read of it are opened, and reports nothing more."""
    relay = make_relay(make_line(tls=True), make_line(tls=False), limit=100)
    for size in (5, 1):
        records = [bytes(size)] * 200
        for record in records:
            relay.source.peer.send(record)
        relay.sides[0].ready(READ)
        while relay.loop.turns:
            relay.turn()
        assert relay.sink.peer_receives(1 << 16) == b"".join(records)
