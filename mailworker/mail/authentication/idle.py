"""Connections to an auth service that wait for the next login (auth_http_keepalive)."""

from __future__ import annotations

import os

from mailworker.errors import Party
from mailworker.event import sockets
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.event.stream import SocketStream


class IdleConnections:
    """At most `limit` connections of one worker; the one used last goes first.

    They are not counted against worker_connections, so that nobody is turned away, and no worker stays, for them.
    """

    __slots__ = ("_idle", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._idle: list[_Idle] = []

    def take(self, connections: Connections) -> SocketStream | None:
        """A connection that the service has left open and said nothing on; None without one.

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
            stream = connections.stream(descriptor, Party.AUTH_SERVICE, READ)
            loop.change(descriptor, READ, stream)
            return stream
        return None

    def keep(self, connections: Connections, stream: SocketStream) -> None:
        """Keep a connection whose last response has been read to its end, or close it where there is no room."""
        if len(self._idle) >= self._limit:
            stream.close()
            return
        descriptor, _, watched = stream.hand_over()
        idle = _Idle(self._idle, connections.loop, descriptor)
        (connections.loop.change if watched else connections.loop.watch)(descriptor, READ, idle)
        self._idle.append(idle)
        connections.release()

    def close(self) -> None:
        """Close all, and keep none from now on."""
        self._limit = 0
        for idle in tuple(self._idle):
            idle.close()


class _Idle:
    """One of `others`: an open connection, until its service closes it or says something that nobody asked for."""

    __slots__ = ("_loop", "_others", "descriptor")

    def __init__(self, others: list[_Idle], loop: Loop, descriptor: int) -> None:
        self._others = others
        self._loop = loop
        self.descriptor = descriptor

    def ready(self, mask: int) -> None:
        """The selector's call, which may come late: a login of this very round may have taken the connection."""
        if self in self._others:
            self.close()

    def close(self) -> None:
        self._others.remove(self)
        self._loop.forget(self.descriptor)
        os.close(self.descriptor)
