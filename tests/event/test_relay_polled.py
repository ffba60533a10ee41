"""Relays over the poller of the program."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from tests.event.relays import Line, MakeLine, MakeRelay, Relay
from tests.support.implementations import Implementation

WAIT_LIMIT = 10.0
BURST = 1_000_000  # some times what one call moves

pollers = pytest.mark.parametrize("turned", [True, False], ids=["levels", "own poller"])


@pytest.fixture
def talked(make_line: MakeLine, make_relay: MakeRelay, implementation: Implementation) -> Relay:
    """A relay whose peers have talked for a while."""
    client, backend = (make_line(tls=False, tcp=True) for _ in range(2))
    relay = make_relay(client, backend, poller=implementation.poller.new_poller())
    for number in range(3):
        for speaker, hearer in ((client, backend), (backend, client)):
            said = b"%d NOOP\r\n" % number
            speaker.peer.send(said)
            relay.turn(WAIT_LIMIT)
            assert hearer.peer_receives(100) == said
    return relay


def _told(relay: Relay) -> list[str]:
    """What the relay is told in the next two rounds."""
    for _ in range(2):
        if not relay.told:
            relay.turn(WAIT_LIMIT)
    return relay.told


def test_what_comes_together_with_the_end_is_passed_on_and_so_is_the_end(talked: Relay) -> None:
    talked.sink.peer.send(b"* BYE\r\n")
    talked.sink.peer.shutdown(socket.SHUT_WR)
    assert _told(talked) == ["half_close"]
    assert talked.source.peer_receives(100) == b"* BYE\r\n"
    assert talked.source.peer_receives(100) == b""


def test_an_end_that_comes_later_is_passed_on(talked: Relay) -> None:
    talked.sink.peer.send(b"* BYE\r\n")
    talked.turn(WAIT_LIMIT)
    talked.sink.peer.shutdown(socket.SHUT_WR)
    assert _told(talked) == ["half_close"]


def test_a_reset_is_told(talked: Relay) -> None:
    talked.sink.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talked.sink.peer.send(b"* BYE\r\n")
    talked.sink.peer.close()
    assert _told(talked) == ["lose_source"]


@pytest.mark.parametrize("ends", [False, True])
def test_nothing_of_a_burst_waits_for_more(talked: Relay, ends: bool) -> None:
    said = random.Random(1).randbytes(BURST)
    unsent, heard = memoryview(said), b""
    while len(heard) < len(said):
        if unsent:
            unsent = unsent[talked.sink.peer_sends(unsent) :]
            if ends and not unsent:
                talked.sink.peer_ends()
        talked.turn(0.0 if unsent or talked.loop.turns else WAIT_LIMIT)
        while data := talked.source.peer_receives(65536):
            heard += data
    assert heard == said
    assert not ends or _told(talked) == ["half_close"]


@pollers
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tls", [False, True])
def test_both_ways_at_any_pace_until_both_have_ended(
    make_line: MakeLine, make_relay: MakeRelay, implementation: Implementation, tls: bool, seed: int, turned: bool
) -> None:
    pace = random.Random(seed)
    client = make_line(tls=tls, buffer=pace.choice((4096, 65536)))
    backend = make_line(tls=False, buffer=pace.choice((4096, 65536)))
    poller = None if turned else implementation.poller.new_poller()
    relay = make_relay(client, backend, limit=pace.choice((512, 4096, 65536)), poller=poller)
    said = {line: pace.randbytes(pace.randrange(300_000)) for line in (client, backend)}
    unsent = {line: memoryview(data) for line, data in said.items()}
    piece = pace.choice((700, 5000, 30_000))  # of one size: TLS wants what it could not send once more
    heard: dict[Line, bytes] = {client: b"", backend: b""}
    ended: list[Line] = []
    deaf: list[Line] = []
    while len(deaf) < 2:
        for line in (client, backend):
            if unsent[line]:
                unsent[line] = unsent[line][line.peer_sends(unsent[line][:piece]) :]
            elif line not in ended and (not tls or line is backend or client in deaf) and line.peer_ends():
                ended.append(line)
            if line not in deaf and pace.random() < 0.5:
                data = line.peer_receives(pace.randrange(1, 30_000))
                heard[line] += data or b""
                deaf.extend([line] if data == b"" else [])
        relay.turn()
    while len(relay.told) < 2:
        relay.turn(WAIT_LIMIT)
    assert heard == {client: said[backend], backend: said[client]}
    assert relay.told == ["half_close", "finish"]
    up, down = len(said[client]), len(said[backend])
    assert [(side.received, side.sent) for side in relay.sides] == [(up, down), (down, up)]
    assert [side.ended for side in relay.sides] == ([1, 2] if ended[0] is client else [2, 1])
