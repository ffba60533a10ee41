"""Both sides of a relay: how they begin, how long they may be idle, and how they are closed.

native/relay/pair.c has it in C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.relay import LimitedSide, ListedSide, Pump, Relay, Side, WatchedSide
from mailworker.event.stream import SocketStream
from mailworker.event.timers import Timed
from mailworker.native.core import accelerator

__all__ = ["Pair", "Terms"]


class Terms:
    """What pairs have in common: the counter of their connections, the pumps, and how long they may be idle.

    `clients` is the pump of the clients' sides, `backends` that of the backends'; each decides the kind of its sides. A
    pair is overdue after `silence` seconds without a byte from either side, and after `linger` seconds once one of them
    has ended its input.
    """

    __slots__ = ("backends", "clients", "connections", "linger", "silence")

    def __init__(
        self, connections: Connections, clients: Pump, backends: Pump, silence: float, linger: float, /
    ) -> None:
        self.connections = connections
        self.clients = clients
        self.backends = backends
        self.silence = silence
        self.linger = linger


class Pair(Timed, Relay):
    """Two connections, the client's and the backend's, each with bytes that were read and are still to be passed on.

    A derived class has the other methods of a Relay, and decides what happens at an end, a failure or a timeout.
    """

    __slots__ = ("backend", "client", "terms")

    def __init__(
        self, terms: Terms, client: SocketStream, clients_words: bytes, backend: SocketStream, backends_words: bytes, /
    ) -> None:
        super().__init__()
        self.terms = terms
        self.client = _side(self, terms.clients, client, clients_words)
        self.backend = _side(self, terms.backends, backend, backends_words)

    def begin(self) -> None:
        """Begin to relay; clients, unlike a login, do not wait for each reply, so that TCP must not delay theirs."""
        sockets.no_delay(self.backend.descriptor)
        loop = self.terms.connections.loop
        loop.set_deadline(self, loop.now + self.terms.silence)
        self.client.begin(self.backend)

    def half_close(self) -> None:
        """See `Relay`."""
        self.terms.connections.loop.set_deadline(self, self._due)

    def expire(self) -> None:
        """The deadline has passed; it moved on if there was traffic meanwhile."""
        loop, due = self.terms.connections.loop, self._due
        if due > loop.now:
            loop.set_deadline(self, due)
        else:
            self.time_out()

    def close(self) -> None:
        """Close both connections."""
        connections = self.terms.connections
        connections.loop.cancel_deadline(self)
        self.client.close()
        self.backend.close()
        connections.release()
        connections.release()

    @property
    def _due(self) -> float:
        """When the pair is overdue if no byte comes from either side."""
        client, backend, terms = self.client, self.backend, self.terms
        half_closed = client.ended or backend.ended
        return max(client.active, backend.active) + (terms.linger if half_closed else terms.silence)

    def time_out(self) -> None:
        """The pair is overdue."""
        raise NotImplementedError


def _side(pair: Pair, pump: Pump, stream: SocketStream, words: bytes) -> Side:
    """A side of the pump's kind."""
    plain = Side if pump.rows is None else ListedSide
    kind = LimitedSide if pump.limiting else WatchedSide if pump.watching else plain
    return kind(pair, pump, stream, words)


if accelerator is not None and not TYPE_CHECKING:
    Pair, Terms = accelerator.Pair, accelerator.Terms
