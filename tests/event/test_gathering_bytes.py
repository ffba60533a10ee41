"""Whatever the kernel gathers, all bytes arrive in their order, and the last ones without another event."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

import pytest

from mailworker.errors import Party
from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.pair import Pair
from mailworker.event.poller import WRITE
from mailworker.event.stream import SocketStream
from tests.event.bench import Bench, Watcher, watch
from tests.event.relays import MakeLine, MakeRelay, Relay
from tests.event.rushes import MARK, PAUSE, QUICK, both_ways, lines_of, mark_of, marks, pause
from tests.event.test_relay import all_combinations
from tests.tls.peers import tcp_pair

LINES = [b"line %03d\r\n" % number for number in range(300)]


class Relayed:
    """A pair between two TCP connections, `client` and `backend`, in a loop that waits.

    Time passes with each line that the client writes, and after the last one in each round.
    """

    def __init__(self, bench: Bench, resources: ExitStack) -> None:
        it, self.loop = bench.implementation, bench.loop
        pump = it.relay.Pump(self.loop, 4096)
        resources.callback(pump.close)
        connections = it.connections.Connections(self.loop, 2, lambda: None)
        terms = it.pair.Terms(connections, pump, pump, 1000.0, 1000.0)
        (ours, self.client), (other, self.backend) = tcp_pair(), tcp_pair()
        sockets.no_delay(self.client.fileno())  # else TCP itself gathers
        for theirs in (self.client, self.backend):
            resources.enter_context(theirs).setblocking(False)
        streams = [self._stream(connections, *each) for each in ((ours, Party.CLIENT), (other, Party.BACKEND))]
        self.pair: Pair = it.pair.Pair(terms, streams[0], b"", streams[1], b"")
        resources.callback(self.pair.close)
        self.waiting = list(LINES)
        self.marked = False
        self.heard = b""
        self.loop.clock = self._clock
        self.loop.watch(self.client.fileno(), WRITE, Watcher(self._write))
        watch(self.loop, self.backend, Watcher(self._read))

    def _stream(self, connections: Connections, ours: socket.socket, party: Party) -> SocketStream:
        ours.setblocking(False)
        connections.take()
        return connections.stream(ours.detach(), party)

    def _clock(self) -> float:
        return self.loop.now + (0.0 if self.waiting else PAUSE)

    def _write(self) -> None:
        """Write the next line, unless the one before is still on its way."""
        marked = mark_of(self.pair.client.descriptor) == MARK
        self.marked |= marked
        if marked or self.pair.client.received == len(b"".join(LINES)) - len(b"".join(self.waiting)):
            self.loop.now += QUICK
            self.client.send(self.waiting.pop(0))
        if not self.waiting:
            self.loop.unwatch(self.client.fileno())

    def _read(self) -> None:
        self.heard += self.backend.recv(65536)
        if self.heard == b"".join(LINES):
            self.loop.stop()


def test_a_loop_that_waits_passes_on_what_is_below_the_mark(bench: Bench, resources: ExitStack) -> None:
    relayed = Relayed(bench, resources)
    relayed.pair.begin()
    relayed.loop.run()
    assert relayed.marked
    relayed.loop.now += PAUSE
    relayed.loop.timers.expire(relayed.loop.now)
    assert mark_of(relayed.pair.client.descriptor) == 1


class Writer:
    """What a peer writes, in pieces that come one by one, and what the other one has heard."""

    def __init__(self, relay: Relay, writer: int, pieces: list[bytes]) -> None:
        self.said = b"".join(pieces)
        self.heard = b""
        self.was_marked = False
        self._side = relay.sides[writer]
        self._ours, self._theirs = lines_of(relay, writer)
        self._waiting = pieces[::-1]
        self._written = 0

    @property
    def done(self) -> bool:
        return len(self.heard) == len(self.said)

    @property
    def marked(self) -> bool:
        return mark_of(self._ours.fd) == MARK

    def step(self) -> None:
        """Write the next piece, unless the one before is still on its way; of one that is cut, the rest follows."""
        self.was_marked |= self.marked
        if self._waiting and (self.marked or self._side.received == self._written):
            sent = self._ours.peer_sends(memoryview(self._waiting[-1]))
            self._written += sent
            rest = self._waiting.pop()[sent:]
            if rest:
                self._waiting.append(rest)
        self.heard += self._theirs.peer_receives(30_000) or b""


def pieces_of(chance: random.Random) -> list[bytes]:
    """Rushes of small pieces, and now and then large ones."""
    sizes: list[int] = []
    for _ in range(6):
        sizes += [chance.randrange(1, 60) for _ in range(chance.choice((10, 60, 120)))]
        sizes += [chance.choice((600, 3000, 16000)) for _ in range(chance.randrange(2))]
    return [chance.randbytes(size) for size in sizes]


@both_ways
@pytest.mark.parametrize("limited", [False, True], ids=["", "limited"])
@all_combinations
def test_all_arrives_byte_for_byte_whatever_is_gathered(
    make_line: MakeLine, make_relay: MakeRelay, source_tls: bool, sink_tls: bool, limited: bool, writer: int
) -> None:
    chance = random.Random(writer)
    allowed = [chance.choice((0, 100, 3000, 70_000)) for _ in range(300)] if limited else None
    relay = make_relay(make_line(tls=source_tls, tcp=True), make_line(tls=sink_tls, tcp=True), allowed=allowed)
    for line in (relay.source, relay.sink):
        sockets.no_delay(line.peer.fileno())  # else TCP itself gathers
    many, one = Writer(relay, writer, pieces_of(chance)), Writer(relay, 1 - writer, [b"* 1 EXISTS\r\n"])
    while not (many.done and one.done):
        before = [side.received for side in relay.sides]
        many.step()
        if chance.random() < 0.005:
            one.step()
        relay.loop.step()
        if relay.events[0] == 0 and limited and not relay.kept:
            relay.sides[0].resume(chance.choice((1, 1000, 30_000)))  # type: ignore[attr-defined] # it is limited
        moved = before != [side.received for side in relay.sides]
        pause(relay, QUICK if moved or many.marked else 0.0)
    assert (many.heard, one.heard) == (many.said, one.said)
    assert many.was_marked
    pause(relay)
    assert marks(relay) == (1, 1)
