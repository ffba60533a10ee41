"""Bytes between a client that is logged in and its backend.

The session's coroutine is gone by now. Two `Side`s and a `Relay` are all that is left of it, and none of
them holds a buffer while nothing is held up.
"""

from __future__ import annotations

from sys import intern
from typing import cast

from mailworker.errors import Party
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.relay import Loss, Pump, Side, WatchedSide, failure
from mailworker.event.stream import SocketStream
from mailworker.event.timers import Timed
from mailworker.mail.end import End
from mailworker.mail.record import SessionRecord


class Relay(Timed):
    """Ends when both sides have ended their input, when one is lost, or after a time without a byte from either.

    That time is proxy_timeout; once one side has ended its input, the other has `timeout` to follow.
    """

    __slots__ = ("_backend", "_client", "_record", "_relays")

    def __init__(
        self,
        relays: Relays,
        record: SessionRecord,
        client: tuple[SocketStream, bytes],
        backend: tuple[SocketStream, bytes],
    ) -> None:
        super().__init__()
        self._relays = relays
        self._record = record
        record.backend = record.backend and intern(record.backend)  # thousands of idle sessions have it in common
        server = record.entrance.server
        buffer = server.settings.proxy.buffer
        pump = relays.pumps[buffer]
        if server.watched:
            self._client: Side = WatchedSide(self, relays.watching_pump(buffer), *client)
        else:
            self._client = Side(self, pump, *client)
        record.client_bytes = self._client
        record.backend_bytes = self._backend = Side(self, pump, *backend)

    def start(self) -> None:
        """Begin, with what was read before the relay was there."""
        loop = self._relays.loop
        self._record.logged_in = loop.now
        loop.set_deadline(self, loop.now + self._record.entrance.server.settings.proxy.timeout)
        self._client.begin(self._backend)

    def start_watched(self) -> None:
        """As `start`, unless what was read before already ends it."""
        client = cast(WatchedSide, self._client)
        if client.pending and client.refuses(client.pending):
            self._record.logged_in = self._relays.loop.now
            self.refuse()
        else:
            self.start()

    def half_close(self) -> None:
        """A side's call: it is the first that has ended its input."""
        self._relays.loop.set_deadline(self, self._due)

    def finish(self) -> None:
        """A side's call: both are done."""
        self._record.action = None
        self._record.info("proxied session done")
        self._close(End.CLIENT_CLOSED if self._client.ended == 1 else End.BACKEND_CLOSED)

    def lose_source(self, side: Side, error: Loss) -> None:
        """Reading from `side` failed, which is of no interest once the other side has said all it had to say."""
        if side.other.ended:
            self.finish()
            return
        self._blame(side, "reading from", "recv()" if side.tls is None else "SSL_read()", error)
        self._record.action = None
        self._record.info("proxied session done")
        self._close(self._reset(side))

    def lose_sink(self, side: Side, error: Loss) -> None:
        """Writing to `side` failed."""
        self._blame(side, "sending to", "send()" if side.tls is None else "SSL_write()", error)
        self._close(self._reset(side))

    def _blame(self, side: Side, doing: str, call: str, error: Loss) -> None:
        party = Party.CLIENT if side is self._client else Party.BACKEND
        self._record.action = f"proxying and {doing} {party.value}"
        self._record.fault(failure(party, call, error))

    def _reset(self, side: Side) -> End:
        return End.CLIENT_RESET if side is self._client else End.BACKEND_RESET

    def expire(self) -> None:
        """The deadline has passed; it moved on if there was traffic meanwhile."""
        loop, due = self._relays.loop, self._due
        if due > loop.now:
            loop.set_deadline(self, due)
        else:
            self._record.action = "proxying"
            self._record.info("client timed out (110: Connection timed out)")
            self._close(End.PROXY_TIMEOUT)

    def cut(self) -> None:
        """End now: the worker has waited for worker_shutdown_timeout."""
        self._record.action = "proxying"
        self._record.info("shutdown timeout")
        self._close(End.SHUTDOWN)

    def refuse(self) -> None:
        """A side's call: the client has said what would make it another user at the backend, or hide it from us."""
        self._record.action = "proxying"
        self._record.info("client sent a command that is not proxied")
        self._close(End.FORBIDDEN_COMMAND)

    def abort(self, bug: Exception) -> None:
        """End because of a bug, which is nobody else's business."""
        self._record.action = "proxying"
        self._record.bug(bug)
        if not self._backend.closed:
            self._close(End.BUG)

    def _close(self, reason: End) -> None:
        """Close both connections."""
        self._record.end(reason)
        self._relays.loop.cancel_deadline(self)
        self._client.close()
        self._backend.close()
        self._relays.release()

    @property
    def _due(self) -> float:
        """When the relay ends if no byte comes from either side."""
        client, backend, settings = self._client, self._backend, self._record.entrance.server.settings
        half_closed = client.ended or backend.ended
        return max(client.active, backend.active) + (settings.timeout if half_closed else settings.proxy.timeout)


class Relays:
    """All relays of a worker, and the scratch pages that they share: one for each `proxy_buffer`.

    What clients of some servers say is watched, by pumps that are made when the first of them is logged in.
    """

    __slots__ = ("_connections", "_watching", "loop", "pumps")

    def __init__(self, connections: Connections, buffers: set[int]) -> None:
        self._connections = connections
        self.loop: Loop = connections.loop
        self.pumps = {buffer: Pump(self.loop, buffer) for buffer in buffers}
        self._watching = dict[int, Pump]()

    def start(
        self, record: SessionRecord, client: tuple[SocketStream, bytes], backend: tuple[SocketStream, bytes]
    ) -> None:
        """Relay between two streams; each comes with the bytes that were read from it and are still to be passed on."""
        record.entrance.sessions.live[record] = relay = Relay(self, record, client, backend)
        if record.entrance.server.watched:
            relay.start_watched()
        else:
            relay.start()

    def watching_pump(self, buffer: int) -> Pump:
        """The pump of clients that are watched."""
        if buffer not in self._watching:
            self._watching[buffer] = Pump(self.loop, buffer, True)
        return self._watching[buffer]

    def release(self) -> None:
        """A relay has closed its two connections."""
        self._connections.release()
        self._connections.release()

    def close(self) -> None:
        """Give back what relays need; none may be left."""
        for pump in (*self.pumps.values(), *self._watching.values()):
            pump.close()
