"""Idle connections to an auth service, kept for later logins (auth_http_keepalive)."""

from __future__ import annotations

import os
from typing import Final

from mailworker.errors import Party
from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.event.stream import SocketStream
from mailworker.event.timers import Timed

# Seconds that a connection may be idle, as in nginx's upstream groups (keepalive_timeout). A firewall forgets an idle
# connection sooner or later, without a word, and the next login would wait for auth_http_timeout.
_REST: Final = 60.0


class IdleConnections:
    """At most `limit` connections of one worker; the one used last is taken first.

    They do not count against worker_connections, so no client is turned away and no worker stays because of them.
    """

    __slots__ = ("_idle", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._idle: list[_Idle] = []

    def take(self, connections: Connections) -> SocketStream | None:
        """Take a connection that the service has left open and sent nothing on; None if there is none.

        Raises OutOfConnections.
        """
        while self._idle:
            idle = self._idle[-1]
            if sockets.peek(idle.descriptor, 1) not in sockets.WOULD_BLOCK:
                idle.close()
                continue
            connections.take()
            self._idle.pop()
            descriptor, loop = idle.descriptor, connections.loop
            loop.cancel_deadline(idle)
            stream = connections.stream(descriptor, Party.AUTH_SERVICE, READ)
            loop.change(descriptor, READ, stream)
            return stream
        return None

    def keep(self, connections: Connections, stream: SocketStream) -> None:
        """Take over the connection of a stream whose last response has been read to its end, if there is room.

        The caller closes the stream in any case.
        """
        if len(self._idle) >= self._limit:
            return
        descriptor, _, watched = stream.hand_over()
        loop = connections.loop
        idle = _Idle(self._idle, loop, descriptor)
        (loop.change if watched else loop.watch)(descriptor, READ, idle)
        loop.set_deadline(idle, loop.now + _REST)
        self._idle.append(idle)
        connections.release()

    def close(self) -> None:
        """Close all connections, and keep none from now on."""
        self._limit = 0
        for idle in tuple(self._idle):
            idle.close()


class _Idle(Timed):
    """An open connection, one of `others`.

    It goes after its time, or when the service closes it or sends unexpected data.
    """

    __slots__ = ("_loop", "_others", "descriptor")

    def __init__(self, others: list[_Idle], loop: Loop, descriptor: int) -> None:
        super().__init__()
        self._others = others
        self._loop = loop
        self.descriptor = descriptor

    def ready(self, mask: int) -> None:
        """The selector's call; it may be late, as a login of the same loop round may have taken the connection."""
        if self in self._others:
            self.close()

    def expire(self) -> None:
        """No login has needed it for so long."""
        self.close()

    def close(self) -> None:
        self._others.remove(self)
        self._loop.cancel_deadline(self)
        self._loop.forget(self.descriptor)
        os.close(self.descriptor)
