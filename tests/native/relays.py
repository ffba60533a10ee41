"""Connections that are relayed, a loop that a test turns by hand, and what is told of a relay."""

from __future__ import annotations

import errno
import socket
import ssl
from select import select
from typing import Protocol

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.event.selector import READ, WRITE
from mailworker.native.relay.pump import Pump, Side, failure
from mailworker.native.tls import connection
from mailworker.native.tls.connection import Connection
from mailworker.native.tls.context import Context

CHUNK = 4096


class Line:
    """One connection: our socket, and the peer's, plain or TLS."""

    def __init__(self, fd: int, peer: socket.socket, native: Connection | None = None) -> None:
        self.fd = fd  # whoever relays closes it
        self.peer = peer
        self.native = native

    def peer_sends(self, data: memoryview) -> int:
        try:
            return self.peer.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0

    def peer_receives(self, limit: int) -> bytes | None:
        """b"" at the end, in TLS after its close_notify: ssl.SSLEOFError is raised where that does not come."""
        try:
            return self.peer.recv(limit)
        except ssl.SSLZeroReturnError:
            return b""
        except (BlockingIOError, ssl.SSLWantReadError):
            return None

    def peer_ends(self) -> bool:
        """End the peer's direction, TLS in its own words; False where that has to wait."""
        if not isinstance(self.peer, ssl.SSLSocket):
            self.peer.shutdown(socket.SHUT_WR)
            return True
        try:
            self.peer.unwrap()
        except ssl.SSLWantReadError:  # ours is sent
            return True
        except ssl.SSLWantWriteError:
            return False
        return True


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    return ours, theirs


def shaken_hands(context: Context, ours: socket.socket, peer: socket.socket) -> Line:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    wrapped = client.wrap_socket(peer, do_handshake_on_connect=False, suppress_ragged_eofs=False)
    native = Connection(context, ours.fileno())
    ours_done = peers_done = False
    while not (ours_done and peers_done):
        try:
            wrapped.do_handshake()
            peers_done = True
        except ssl.SSLWantReadError:
            peers_done = False
        ours_done = connection.handshake(native.handle, False) == 1
    return Line(ours.detach(), wrapped, native)


class Loop:
    """`watched` are the events of each descriptor, `turns` who wants to be called in the next round."""

    def __init__(self) -> None:
        self.now = 1.0
        self.handlers: dict[int, Side] = {}
        self.watched: dict[int, int] = {}
        self.turns: list[Side] = []
        self.refuses = False

    def watch(self, descriptor: int, events: int, handler: Side) -> None:
        assert descriptor not in self.watched
        self._enter(descriptor, events, handler)

    def change(self, descriptor: int, events: int, handler: Side) -> None:
        assert descriptor in self.watched
        self._enter(descriptor, events, handler)

    def _enter(self, descriptor: int, events: int, handler: Side) -> None:
        if self.refuses:
            raise OSError(errno.ENOSPC, "no room")
        self.watched[descriptor] = events
        self.handlers[descriptor] = handler

    def unwatch(self, descriptor: int) -> None:
        del self.watched[descriptor], self.handlers[descriptor]

    def forget(self, descriptor: int) -> None:
        self.unwatch(descriptor)

    def again(self, handler: Side) -> None:
        self.turns.append(handler)

    def turn(self, wait: float = 0.0) -> None:
        """One round."""
        self.now += 1.0
        turns, self.turns = self.turns, []
        ready = dict.fromkeys(self.watched, 0)
        for events, descriptors in zip((READ, WRITE), select(*self._wanted(), [], wait)[:2], strict=True):
            for descriptor in descriptors:
                ready[descriptor] |= events
        for handler, mask in [(self.handlers[descriptor], mask) for descriptor, mask in ready.items() if mask]:
            handler.ready(mask)
        for handler in turns:
            handler.ready(READ)

    def _wanted(self) -> tuple[list[int], list[int]]:
        wanted = [
            [descriptor for descriptor, watched in self.watched.items() if watched & events] for events in (READ, WRITE)
        ]
        return wanted[0], wanted[1]


class Relay:
    """From `source` to `sink` and back, and what was told of it."""

    def __init__(self, source: Line, sink: Line, limit: int = CHUNK, pending: bytes = b"") -> None:
        self.loop = Loop()
        self.pump = Pump(self.loop, limit)
        self.source, self.sink = source, sink
        self.told: list[str] = []  # the names of the methods that were called
        self.failures: list[ConnectionLost | TlsError] = []
        self.bugs: list[Exception] = []
        self.sides = [self._side(line, data) for line, data in ((source, pending), (sink, b""))]
        self.sides[0].begin(self.sides[1])

    def _side(self, line: Line, pending: bytes) -> Side:
        connection = (line.fd, 0, line.native, 0 if line.native is None else line.native.address)
        return Side(self, self.pump.address, *connection, pending, len(pending), 0)

    @property
    def events(self) -> tuple[int, int]:
        """What both sides wait for."""
        source, sink = (self.loop.watched.get(line.fd, 0) for line in (self.source, self.sink))
        return source, sink

    @property
    def kept(self) -> bytes:
        return self.sides[0].pending or b""

    def turn(self, wait: float = 0.0) -> None:
        self.loop.turn(wait)

    def half_close(self) -> None:
        self.told.append("half_close")

    def finish(self) -> None:
        self.told.append("finish")
        self.close()

    def lose_source(self, side: Side, error: int) -> None:
        self.told.append("lose_source")
        self._lose(side, "recv()" if side.tls is None else "SSL_read()", error)

    def lose_sink(self, side: Side, error: int) -> None:
        self.told.append("lose_sink")
        self._lose(side, "send()" if side.tls is None else "SSL_write()", error)

    def _lose(self, side: Side, call: str, error: int) -> None:
        party = Party.CLIENT if side is self.sides[0] else Party.BACKEND
        self.failures.append(failure(party, call, error))
        self.close()

    def abort(self, bug: Exception) -> None:
        self.told.append("abort")
        self.bugs.append(bug)
        self.close()

    def close(self) -> None:
        for side in self.sides:
            side.close()


class MakeLine(Protocol):
    def __call__(self, *, tls: bool, buffer: int | None = None, tcp: bool = False) -> Line: ...


class MakeRelay(Protocol):
    def __call__(self, source: Line, sink: Line, limit: int = CHUNK, pending: bytes = b"") -> Relay: ...
