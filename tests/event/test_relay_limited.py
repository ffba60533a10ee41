"""A side from which no more is read than its relay allows, in C and in Python."""

from __future__ import annotations

import random

import pytest

from mailworker.event.poller import READ, WRITE
from mailworker.event.relay import LimitedSide
from tests.event.relays import CHUNK, MakeLine, MakeRelay, Relay
from tests.event.rushes import heard
from tests.event.test_relay import all_combinations

WAIT_LIMIT = 10.0


def limited(relay: Relay) -> LimitedSide:
    side: LimitedSide = relay.sides[0]  # type: ignore[assignment] # that of the implementation
    return side


@all_combinations
def test_no_more_is_read_than_is_allowed(
    make_line: MakeLine, make_relay: MakeRelay, source_tls: bool, sink_tls: bool
) -> None:
    relay = make_relay(make_line(tls=source_tls), make_line(tls=sink_tls), allowed=[5])
    relay.source.peer.send(b"a NOOP\r\nb NOOP\r\n")
    for _ in range(4):
        relay.turn(0.01)
    assert heard(relay.sink) == b"a NOO"
    assert (limited(relay).received, relay.sides[1].sent) == (5, 5)
    assert relay.events == (0, READ)  # what comes from the sink goes its way
    limited(relay).resume(4)
    for _ in range(3):
        relay.turn(0.01)
    assert heard(relay.sink) == b"P\r\nb"
    assert relay.events == (0, READ)
    limited(relay).resume(100)
    assert heard(relay.sink) == b" NOOP\r\n"
    assert relay.events == (READ, READ)


@all_combinations
def test_all_arrives_byte_for_byte_whatever_is_allowed_when(
    make_line: MakeLine, make_relay: MakeRelay, source_tls: bool, sink_tls: bool
) -> None:
    chance = random.Random(1)
    sent = chance.randbytes(400_000)
    allowed = [chance.choice((0, 1, 100, 5000, 70_000)) for _ in range(300)]
    source, sink = make_line(tls=source_tls, buffer=8192), make_line(tls=sink_tls, buffer=4096)
    relay = make_relay(source, sink, allowed=allowed)
    unsent, received, ended = memoryview(sent), b"", False
    while not relay.sides[0].ended:
        if unsent:
            unsent = unsent[source.peer_sends(unsent[:16384]) :]
        elif not ended:
            ended = source.peer_ends()
        relay.turn()
        assert len(relay.kept) <= CHUNK
        if relay.events[0] == 0 and not relay.kept:
            limited(relay).resume(chance.choice((1, 1000, 30_000)))
        received += heard(sink)
    received += heard(sink)
    assert received == sent
    assert [(side.received, side.sent) for side in relay.sides] == [(len(sent), 0), (0, len(sent))]


def test_who_says_nothing_asks_for_nothing(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False), allowed=[100])
    relay.turn(0.01)
    assert relay.told == []
    assert relay.events == (READ, READ)


@pytest.mark.parametrize("tls", [False, True])
def test_a_full_sink_comes_first(make_line: MakeLine, make_relay: MakeRelay, tls: bool) -> None:
    relay = make_relay(make_line(tls=tls), make_line(tls=False, buffer=4096), allowed=[1 << 20] * 100)
    unsent = memoryview(bytes(200_000))
    while not relay.kept:
        unsent = unsent[relay.source.peer_sends(unsent[:16384]) :]
        relay.turn()
    assert relay.events == (0, READ | WRITE)


def test_the_end_comes_when_all_was_allowed(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False), allowed=[3])
    relay.source.peer.send(b"BYE\r\n")
    relay.source.peer_ends()
    for _ in range(3):
        relay.turn(0.01)
    assert heard(relay.sink) == b"BYE"
    assert not relay.sides[0].ended
    limited(relay).resume(10)
    relay.turn(0.01)
    assert relay.sink.peer_receives(10) == b"\r\n"
    assert relay.sink.peer_receives(10) == b""
    assert relay.told[-1] == "half_close"


def test_what_was_read_before_goes_at_once(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False), pending=b"* OK\r\n", allowed=[])
    relay.turn()
    assert heard(relay.sink) == b"* OK\r\n"


def test_a_side_that_was_closed_is_deaf(make_line: MakeLine, make_relay: MakeRelay) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False), allowed=[1])
    relay.close()
    limited(relay).resume(5)
    assert limited(relay).closed
    assert relay.told == []


@pytest.mark.parametrize("answer", [-1, "much"])
def test_what_is_no_number_of_bytes_ends_the_relay(make_line: MakeLine, make_relay: MakeRelay, answer: object) -> None:
    relay = make_relay(make_line(tls=False), make_line(tls=False), allowed=[answer])
    relay.source.peer.send(b"a")
    relay.turn(WAIT_LIMIT)
    assert relay.told == ["allow", "abort"]
