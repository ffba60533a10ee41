"""Bytes between a client that is logged in and its backend.

The session's coroutine is gone by now. Two `Side`s and a `Relay` are all that is left of it, and none of
them holds a buffer while nothing is held up.
"""

from __future__ import annotations

from sys import intern
from typing import cast

from mailworker.errors import Party
from mailworker.event.connections import Connections
from mailworker.event.pair import Pair, Terms
from mailworker.event.relay import Loss, Pump, Side, WatchedSide, failure
from mailworker.event.stream import SocketStream
from mailworker.mail.end import End
from mailworker.mail.record import SessionRecord
from mailworker.mail.server import Server


class Relay(Pair):
    """Ends when both sides have ended their input, when one is lost, or after a time without a byte from either.

    That time is proxy_timeout; once one side has ended its input, the other has `timeout` to follow.
    """

    __slots__ = ("record",)

    record: SessionRecord

    def start_watched(self) -> None:
        """As `begin`, unless what was read before the relay was there already ends it."""
        client = cast(WatchedSide, self.client)
        if client.pending and client.refuses(client.pending):
            self.refuse()
        else:
            self.begin()

    def finish(self) -> None:
        """A side's call: both are done."""
        self.record.action = None
        self.record.info("proxied session done")
        self._end(End.CLIENT_CLOSED if self.client.ended == 1 else End.BACKEND_CLOSED)

    def lose_source(self, side: Side, error: Loss) -> None:
        """Reading from `side` failed, which is of no interest once the other side has said all it had to say."""
        if side.other.ended:
            self.finish()
            return
        self._blame(side, "reading from", "recv()" if side.tls is None else "SSL_read()", error)
        self.record.action = None
        self.record.info("proxied session done")
        self._end(self._reset(side))

    def lose_sink(self, side: Side, error: Loss) -> None:
        """Writing to `side` failed."""
        self._blame(side, "sending to", "send()" if side.tls is None else "SSL_write()", error)
        self._end(self._reset(side))

    def _blame(self, side: Side, doing: str, call: str, error: Loss) -> None:
        party = Party.CLIENT if side is self.client else Party.BACKEND
        self.record.action = f"proxying and {doing} {party.value}"
        self.record.fault(failure(party, call, error))

    def _reset(self, side: Side) -> End:
        return End.CLIENT_RESET if side is self.client else End.BACKEND_RESET

    def time_out(self) -> None:
        """See `Pair.time_out`."""
        self.record.action = "proxying"
        self.record.info("client timed out (110: Connection timed out)")
        self._end(End.PROXY_TIMEOUT)

    def cut(self) -> None:
        """End now: the worker has waited for worker_shutdown_timeout."""
        self.record.action = "proxying"
        self.record.info("shutdown timeout")
        self._end(End.SHUTDOWN)

    def refuse(self) -> None:
        """A side's call: the client has said what would make it another user at the backend, or hide it from us."""
        self.record.action = "proxying"
        self.record.info("client sent a command that is not proxied")
        self._end(End.FORBIDDEN_COMMAND)

    def abort(self, bug: Exception) -> None:
        """End because of a bug, which is nobody else's business."""
        self.record.action = "proxying"
        self.record.bug(bug)
        if not self.backend.closed:
            self._end(End.BUG)

    def _end(self, reason: End) -> None:
        self.record.end(reason)
        self.close()


class Relays:
    """All relays of a worker, and the scratch pages that they share: one for each `proxy_buffer`.

    What clients of some servers say is watched, by pumps that are made when the first of them is logged in.
    """

    __slots__ = ("_connections", "_pumps", "_terms")

    def __init__(self, connections: Connections, buffers: set[int]) -> None:
        self._connections = connections
        self._pumps = {(buffer, False): self._pump(buffer) for buffer in buffers}
        self._terms = dict[Server, Terms]()

    def start(
        self, record: SessionRecord, client: tuple[SocketStream, bytes], backend: tuple[SocketStream, bytes]
    ) -> None:
        """Relay between two streams; each comes with the bytes that were read from it and are still to be passed on."""
        entrance = record.entrance
        terms = self._terms.get(entrance.server) or self._agree(entrance.server)
        record.logged_in = self._connections.loop.now
        if record.backend is not None:
            record.backend = intern(record.backend)  # thousands of idle sessions have it in common
        relay = Relay(terms, *client, *backend)
        relay.record = record
        record.client_bytes = relay.client
        record.backend_bytes = relay.backend
        entrance.sessions.live[record] = relay
        if terms.watching is None:
            relay.begin()
        else:
            relay.start_watched()

    def _agree(self, server: Server) -> Terms:
        proxy = server.settings.proxy
        watching = self._shared(proxy.buffer, watching=True) if server.watched else None
        pump = self._shared(proxy.buffer)
        self._terms[server] = terms = Terms(self._connections, pump, proxy.timeout, server.settings.timeout, watching)
        return terms

    def _shared(self, buffer: int, *, watching: bool = False) -> Pump:
        if (buffer, watching) not in self._pumps:
            self._pumps[buffer, watching] = self._pump(buffer, watching=watching)
        return self._pumps[buffer, watching]

    def _pump(self, buffer: int, *, watching: bool = False) -> Pump:
        return Pump(self._connections.loop, buffer, watching)

    def close(self) -> None:
        """Give back what relays need; none may be left."""
        for pump in self._pumps.values():
            pump.close()
