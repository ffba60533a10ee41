"""Connections that are relayed, a loop that a test turns by hand, and what is told of a relay."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from functools import cache
from select import select
from typing import Any, Protocol

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.event.loop import LoopState
from mailworker.event.poller import READ, WRITE, Handler, Poller
from mailworker.event.relay import Loss, Side
from mailworker.event.timers import Timers
from mailworker.native.tls import connection
from mailworker.native.tls.context import Context
from mailworker.tls.connection import TlsConnection
from tests.support.implementations import NATIVE, Implementation

CHUNK = 4096


class Line:
    """One connection: our socket, and the peer's, plain or TLS."""

    def __init__(self, fd: int, peer: socket.socket, native: TlsConnection | None = None) -> None:
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


def shaken_hands(context: Context, ours: socket.socket, peer: socket.socket) -> Line:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    wrapped = client.wrap_socket(peer, do_handshake_on_connect=False, suppress_ragged_eofs=False)
    native = TlsConnection(context, ours.fileno())
    ours_done = peers_done = False
    while not (ours_done and peers_done):
        try:
            wrapped.do_handshake()
            peers_done = True
        except ssl.SSLWantReadError:
            peers_done = False
        ours_done = connection.handshake(native.handle, False) == 1
    return Line(ours.detach(), wrapped, native)


class TurnedPoller:
    """`watched` are the events of each descriptor."""

    method = "turned"

    def __init__(self) -> None:
        self.handlers: dict[int, Handler] = {}
        self.watched: dict[int, int] = {}
        self.refusal: Exception | None = None

    def watch(self, descriptor: int, events: int, handler: Handler, /) -> None:
        assert descriptor not in self.watched
        self._enter(descriptor, events, handler)

    def watch_exclusive(self, descriptor: int, handler: Handler, /) -> None:
        raise AssertionError("no relay listens")

    def change(self, descriptor: int, events: int, handler: Handler, /) -> None:
        assert descriptor in self.watched
        self._enter(descriptor, events, handler)

    def _enter(self, descriptor: int, events: int, handler: Handler) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.watched[descriptor] = events
        self.handlers[descriptor] = handler

    def unwatch(self, descriptor: int, /) -> None:
        del self.watched[descriptor], self.handlers[descriptor]

    def forget(self, descriptor: int, /) -> None:
        self.unwatch(descriptor)

    def dispatch(self, loop: LoopState, timeout: float | None, /) -> None:
        ready = dict.fromkeys(self.watched, 0)
        for events, descriptors in zip((READ, WRITE), select(*self._wanted(), [], timeout)[:2], strict=True):
            for descriptor in descriptors:
                ready[descriptor] |= events
        for handler, mask in [(self.handlers[descriptor], mask) for descriptor, mask in ready.items() if mask]:
            handler.ready(mask)

    def close(self) -> None:
        pass

    def _wanted(self) -> tuple[list[int], list[int]]:
        wanted = [
            [descriptor for descriptor, watched in self.watched.items() if watched & events] for events in (READ, WRITE)
        ]
        return wanted[0], wanted[1]


class TurnedLoop(Protocol):
    """A loop that a test turns by hand. `turns` is who wants to be called in the next round.

    `watched` is empty with another poller than a `TurnedPoller`.

    Each turn takes a second. A step takes no time.
    """

    now: float
    timers: Timers
    watched: dict[int, int]
    turns: list[Handler]

    def turn(self, wait: float = 0.0) -> None: ...

    def step(self, wait: float = 0.0) -> None: ...

    def serve_late(self) -> None: ...


def turned_loop(implementation: Implementation, poller: Poller) -> TurnedLoop:
    loop: TurnedLoop = _turned_loops(implementation)(poller)
    return loop


@cache
def _turned_loops(implementation: Implementation) -> Any:
    class Turned(implementation.loop.Loop):  # type: ignore[name-defined, misc]
        def __init__(self, poller: Poller) -> None:
            super().__init__(_raise, poller)
            self.now = 1.0
            self.watched = poller.watched if isinstance(poller, TurnedPoller) else {}
            self.turns: list[Handler] = []

        def again(self, handler: Handler) -> None:
            self.turns.append(handler)

        def turn(self, wait: float = 0.0) -> None:
            self.now += 1.0
            self.step(wait)

        def step(self, wait: float = 0.0) -> None:
            turns, self.turns = self.turns, []
            self.urgent = True  # so that C waits once
            self.poller.dispatch(self, wait)
            for handler in turns:
                handler.ready(READ)

    return Turned


def _raise(bug: Exception) -> None:
    raise bug


class Relay:
    """From `source` to `sink` and back, and what was told of it; with `allowed` no more is read than this allows.

    It has a loop and a pump of its own, or those of the relay `beside` it. `poller` is a `TurnedPoller` if it is None.
    """

    def __init__(
        self,
        source: Line,
        sink: Line,
        limit: int = CHUNK,
        pending: bytes = b"",
        refusal: Exception | None = None,
        implementation: Implementation = NATIVE,
        joined: bool = True,
        allowed: Sequence[int] | None = None,
        watching: bool = False,
        beside: Relay | None = None,
        poller: Poller | None = None,
    ) -> None:
        if poller is None:
            poller = TurnedPoller() if beside is None else beside.poller
        self.poller: Any = poller
        if isinstance(poller, TurnedPoller):
            poller.refusal = refusal
        self.loop: TurnedLoop = turned_loop(implementation, self.poller) if beside is None else beside.loop
        self._event = implementation.relay
        self.pump: Any = self._event.Pump(self.loop, limit) if beside is None else beside.pump
        self.limiting_pump = self._event.Pump(self.loop, limit, False, True)
        self.watching_pump = self._event.Pump(self.loop, limit, True) if watching else None
        self.source, self.sink = source, sink
        self.told: list[str] = []  # the names of the methods that were called
        self.failures: list[ConnectionLost | TlsError] = []
        self.bugs: list[Exception] = []
        self.allowed = None if allowed is None else list(allowed)
        self.sides: list[Side] = [
            self._side(line, data, implementation) for line, data in ((source, pending), (sink, b""))
        ]
        if joined:
            self.sides[0].begin(self.sides[1])
            self.loop.serve_late()

    def _side(self, line: Line, pending: bytes, implementation: Implementation) -> Side:
        stream = implementation.stream.SocketStream(self.loop, line.fd, Party.CLIENT, lambda: None)
        stream.tls = line.native
        stream.received = len(pending)
        limited = self.allowed is not None and line is self.source
        kind, pump = (self._event.LimitedSide, self.limiting_pump) if limited else (self._event.Side, self.pump)
        if self.watching_pump is not None and line is self.source:
            kind, pump = self._event.WatchedSide, self.watching_pump
        side: Side = kind(self, pump, stream, pending)
        return side

    def allow(self, side: Side) -> int:
        """What `allowed` says next, and nothing behind that."""
        assert side is self.sides[0]
        assert self.allowed is not None
        self.told.append("allow")
        return self.allowed.pop(0) if self.allowed else 0

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

    def lose_source(self, side: Side, error: Loss) -> None:
        self.told.append("lose_source")
        self._lose(side, "recv()" if side.tls is None else "SSL_read()", error)

    def lose_sink(self, side: Side, error: Loss) -> None:
        self.told.append("lose_sink")
        self._lose(side, "send()" if side.tls is None else "SSL_write()", error)

    def _lose(self, side: Side, call: str, error: Loss) -> None:
        party = Party.CLIENT if side is self.sides[0] else Party.BACKEND
        self.failures.append(self._event.failure(party, call, error))
        self.close()

    def refuse(self) -> None:
        raise AssertionError("nobody watches")

    def abort(self, bug: Exception) -> None:
        self.told.append("abort")
        self.bugs.append(bug)
        self.close()

    def close(self) -> None:
        for side in self.sides:
            side.close()


class MakeLine(Protocol):
    def __call__(self, *, tls: bool, buffer: int | None = None, tcp: bool = False) -> Line: ...


MakeRelay = Callable[..., Relay]
"""Makes a relay by the arguments of Relay, and closes it at the end of the test."""
