"""All connections of one worker: clients, auth services and backends; native/core/connections.c counts them in C."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from mailworker.errors import ConnectionLost, OutOfConnections, Party
from mailworker.event import sockets
from mailworker.event.loop import Loop
from mailworker.event.stream import SocketStream, unreached
from mailworker.model import Address, InetAddress
from mailworker.native.core import accelerator

__all__ = ["Connections"]


class ConnectionCounter:
    """Makes and counts connections; Connections makes the errors. `next` is the number of the next connection."""

    __slots__ = ("_step", "_unused", "in_use", "limit", "loop", "next")

    def __init__(
        self, loop: Loop, limit: int, unused: Callable[[], None] | None = None, first: int = 1, step: int = 1
    ) -> None:
        self.loop = loop
        self.in_use = 0
        self.limit = limit
        self.next = first
        self._step = step
        self._unused = unused

    def take(self) -> int:
        """Count one more connection and return its number; raises OutOfConnections."""
        if self.in_use >= self.limit:
            raise self._exhausted()
        self.in_use += 1
        number = self.next
        self.next += self._step
        return number

    def release(self) -> None:
        """Count one connection fewer."""
        self.in_use -= 1
        if not self.in_use and self._unused is not None:
            self._unused()

    def stream(self, descriptor: int, party: Party, watched: int = 0) -> SocketStream:
        """The stream of a connection that was counted; closing the stream releases the connection."""
        return SocketStream(self.loop, descriptor, party, self.release, watched=watched)

    def connect(self, address: Address, party: Party, timeout: float = inf, /) -> SocketStream:
        """A stream that is connecting; it can be used at once, and its deadline is in `timeout` seconds.

        By TCP, connecting begins with the first use, which reports a failure: a refused connection as "recv() failed
        (111: Connection refused)", as in nginx. Raises ConnectionLost if a unix socket refuses or there are no
        descriptors, and OutOfConnections.
        """
        self.take()
        try:
            later = isinstance(address, InetAddress)
            dialled = sockets.dial(address, later=later)
            if not isinstance(dialled, int):
                raise self._failed(address, party, *dialled)
            stream = self.stream(dialled, party)
            if later:
                stream.address = address
            stream.deadline = self.loop.now + timeout
            return stream
        except BaseException:
            self.release()
            raise

    def _exhausted(self) -> OutOfConnections:
        raise NotImplementedError

    def _failed(self, address: Address, party: Party, call: str, number: int) -> ConnectionLost:
        raise NotImplementedError


if accelerator is not None and not TYPE_CHECKING:
    ConnectionCounter = accelerator.ConnectionCounter


class Connections(ConnectionCounter):
    """Makes streams, numbers them and counts them against `worker_connections`.

    Numbers begin at `first` and grow by `step`, so that the workers that a cycle starts with never share a number. A
    worker that replaces another, is added by SIGTTIN or belongs to another cycle begins anew, so a number means one
    connection only together with the process: the error log has both, and so do the ids of sessions.
    `in_use` counts listeners too, as nginx does. `unused` is called whenever it has become 0.
    """

    __slots__ = ()

    kind = SocketStream

    @property
    def free(self) -> int:
        """How many more connections there may be."""
        return self.limit - self.in_use

    def _exhausted(self) -> OutOfConnections:
        return OutOfConnections(self.limit)

    def _failed(self, address: Address, party: Party, call: str, number: int) -> ConnectionLost:
        """The system knows at once that `address` cannot be connected to."""
        return unreached(address, party, number) if call == "connect()" else ConnectionLost(party, call, number)
