"""All connections of one worker: clients, auth services and backends."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from mailworker.config.settings import Address, InetAddress, UnixAddress
from mailworker.errors import ConnectionLost, OutOfConnections, Party
from mailworker.event.loop import Loop
from mailworker.event.stream import SocketStream

# Spares a call where the system can do it at once.
_NON_BLOCKING = getattr(socket, "SOCK_NONBLOCK", 0)
# What connect() says when the connection comes about, or fails, later.
_UNDER_WAY = (0, errno.EINPROGRESS)


class Connections:
    """Makes streams, numbers them and counts them against `worker_connections`.

    Numbers begin at `first` and grow by `step`, so that the workers of one master never share a number.
    `in_use` counts listeners too, as nginx does. `released` is called whenever it has become less.
    """

    __slots__ = ("_limit", "_next", "_released", "_step", "in_use", "loop")

    def __init__(
        self, loop: Loop, limit: int, released: Callable[[], None] = lambda: None, first: int = 1, step: int = 1
    ) -> None:
        self.loop = loop
        self.in_use = 0
        self._limit = limit
        self._released = released
        self._next = first
        self._step = step

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
        self._released()

    def connect(self, address: Address, party: Party) -> SocketStream:
        """Begin to connect; the stream can be used at once and reports a failure at its first use.

        So a peer that refuses is met by "recv() failed (111: Connection refused)", as in nginx. Raises
        ConnectionLost where the system knows at once, and OutOfConnections.
        """
        self.take()
        try:
            return SocketStream(self.loop, _begin_to_connect(address, party), party, self.release)
        except BaseException:
            self.release()
            raise


def _begin_to_connect(address: Address, party: Party) -> socket.socket:
    target: str | tuple[str, int]
    if isinstance(address, UnixAddress):
        family, target = socket.AF_UNIX, address.path
    else:
        family, target = (socket.AF_INET6 if address.is_ipv6 else socket.AF_INET), (address.host, address.port)
    try:
        connecting = socket.socket(family, socket.SOCK_STREAM | _NON_BLOCKING)
    except OSError as error:
        raise ConnectionLost(party, "socket()", error.errno or 0) from None
    if not _NON_BLOCKING:
        connecting.setblocking(False)
    try:
        failure = connecting.connect_ex(target)
    except OSError:
        failure = errno.ENAMETOOLONG  # a unix path, the only address that Python itself refuses
    if failure not in _UNDER_WAY:
        connecting.close()
        name = address.bare if party is Party.UPSTREAM and isinstance(address, InetAddress) else address
        raise ConnectionLost(party, f"connect() to {name}", failure)
    if family != socket.AF_UNIX:
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connecting
