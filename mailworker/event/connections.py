"""All connections of one worker: clients, auth services and backends."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.errors import ConnectionLost, OutOfConnections, Party
from mailworker.event import sockets
from mailworker.event.loop import Loop
from mailworker.event.stream import SocketStream
from mailworker.model import Address, InetAddress


class Connections:
    """Makes streams, numbers them and counts them against `worker_connections`.

    Numbers begin at `first` and grow by `step`, so that the workers of one master never share a number.
    `in_use` counts listeners too, as nginx does. `unused` is called whenever it has become 0.
    """

    __slots__ = ("_limit", "_next", "_step", "_unused", "in_use", "loop")

    def __init__(
        self, loop: Loop, limit: int, unused: Callable[[], None] = lambda: None, first: int = 1, step: int = 1
    ) -> None:
        self.loop = loop
        self.in_use = 0
        self._limit = limit
        self._next = first
        self._step = step
        self._unused = unused

    @property
    def free(self) -> int:
        """How many more may be counted."""
        return max(self._limit - self.in_use, 0)

    def take(self) -> int:
        """Count one connection more and give it a number; raises OutOfConnections."""
        if self.in_use >= self._limit:
            raise OutOfConnections(self._limit)
        self.in_use += 1
        number = self._next
        self._next += self._step
        return number

    def release(self) -> None:
        """Count one connection less."""
        self.in_use -= 1
        if not self.in_use:
            self._unused()

    def connect(self, address: Address, party: Party) -> SocketStream:
        """Begin to connect; the stream can be used at once and reports a failure at its first use.

        So a peer that refuses is met by "recv() failed (111: Connection refused)", as in nginx. Raises
        ConnectionLost where the system knows at once, and OutOfConnections.
        """
        self.take()
        try:
            dialled = sockets.dial(address)
            if not isinstance(dialled, int):
                raise _failure(address, party, *dialled)
            return SocketStream(self.loop, dialled, party, self.release)
        except BaseException:
            self.release()
            raise


def _failure(address: Address, party: Party, call: str, number: int) -> ConnectionLost:
    name = address.bare if party is Party.BACKEND and isinstance(address, InetAddress) else address
    return ConnectionLost(party, f"connect() to {name}" if call == "connect()" else call, number)
