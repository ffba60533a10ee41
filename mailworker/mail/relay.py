"""The relay of bytes between a client that is logged in and its backend.

The session's coroutine no longer exists. Only two `Side`s and a `Relay` are left of it, and they have no buffer unless
the receiver is slow.
"""

from __future__ import annotations

from typing import Any, Final, cast

from mailworker.config.proxy import ProxySettings
from mailworker.errors import Party
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.pair import Pair, Terms
from mailworker.event.relay import LimitedSide, Loss, Pump, Side, WatchedSide, failure
from mailworker.event.rows import Rows
from mailworker.event.stream import SocketStream
from mailworker.event.throttle import Throttle
from mailworker.mail.end import End
from mailworker.mail.record import SessionRecord
from mailworker.mail.server import Server
from mailworker.native.core import accelerator


class Relay(Pair):
    """A relay. It ends with the input of both sides, or of one that has sent nothing; with a loss; or after a pause.

    A pause is a time without a byte: proxy_timeout, or `timeout` once one side has ended its input.
    """

    __slots__ = ("record",)

    _by_backend: Final = End.BACKEND_CLOSED
    _by_client: Final = End.CLIENT_CLOSED
    record: SessionRecord

    def start_watched(self) -> None:
        """As `begin`, unless bytes that were read before the relay existed already end it."""
        client = cast(WatchedSide, self.client)
        if client.pending and client.refuses(client.pending):
            self.refuse()
        else:
            self.begin()

    def finish(self) -> None:
        """See `mailworker.event.relay.Relay.finish`."""
        record = self.record
        record.action = None
        if record.entrance.log.informative:
            self._say_done()
        self._end(self._by_client if self.client.ended == 1 else self._by_backend)

    def _say_done(self) -> None:
        self.record.info("proxied session done")

    def lose_source(self, side: Side, error: Loss) -> None:
        """Handle a failed read from `side`, which does not matter if the other side has ended its input."""
        if side.other.ended:
            self.finish()
            return
        self._blame(side, "reading from", "recv()" if side.tls is None else "SSL_read()", error)
        self.record.action = None
        self._say_done()
        self._end(self._reset(side))

    def lose_sink(self, side: Side, error: Loss) -> None:
        """Handle a failed write to `side`."""
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

    def kick(self, why: str) -> None:
        """End now, at an administrator's request."""
        self.record.action = "proxying"
        self.record.info(why)
        self._end(End.KICKED)

    def refuse(self) -> None:
        """Called by a side: the client sent a command that would change its user at the backend, or could hide one."""
        self.record.action = "proxying"
        self.record.info("client sent a command that is not proxied")
        self._end(End.FORBIDDEN_COMMAND)

    def abort(self, bug: Exception) -> None:
        """End because of a bug; other sessions go on."""
        self.record.action = "proxying"
        self.record.bug(bug)
        if not self.backend.closed:
            self._end(End.BUG)

    def _end(self, reason: End) -> None:
        self.record.end(reason)
        self.close()


class LimitedRelay(Relay):
    """A relay with rate limits: `limit_rate` to the client, and `proxy_upload_rate` from it."""

    __slots__ = ("_down", "_up")

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._up: Throttle | None = None
        self._down: Throttle | None = None

    def keep_rates(self, proxy: ProxySettings) -> None:
        """Set the rates; to be called before the relay begins."""
        loop = self.terms.connections.loop
        self._up = _throttle(loop, self.client, proxy.upload_rate, 0)
        self._down = _throttle(loop, self.backend, proxy.limit_rate, proxy.limit_rate_after)

    def allow(self, side: Side) -> int:
        """See `mailworker.event.relay.Relay.allow`."""
        throttle = self._up if side is self.client else self._down
        assert throttle is not None
        return throttle.allow()

    def _end(self, reason: End) -> None:
        super()._end(reason)
        for throttle in (self._up, self._down):
            if throttle is not None:
                throttle.stop()


def _throttle(loop: Loop, side: Side, rate: int, after: int) -> Throttle | None:
    return Throttle(loop, cast(LimitedSide, side), rate, after) if rate else None


Agreed = tuple[Terms, type[Relay], bool]
"""The terms that relays of a server share, their class, and whether they can begin without further preparation."""


class Relays:
    """All relays of a worker, and the scratch pages that they share: one for each `proxy_buffer`.

    Some servers' clients are watched, and some have a limited rate. The pumps for them are made when the first such
    client connects. `rows` are the rows of the session table, None if there is none.
    """

    __slots__ = ("_agreed", "_connections", "_pumps", "_rows")

    def __init__(self, connections: Connections, buffers: set[int], rows: Rows | None = None) -> None:
        self._connections = connections
        self._pumps = dict[tuple[int, bool, bool, Rows | None], Pump]()
        self._rows = rows
        self._agreed = dict[Server, Agreed]()
        for buffer in buffers:
            self._pump(buffer, rows=rows)

    def agreed(self, server: Server) -> Agreed:
        """The terms of the server's relays."""
        return self._agreed.get(server) or self._agree(server)

    def start(  # noqa: PLR0913, PLR0917 - both sides, and what was read from each
        self,
        agreed: Agreed,
        record: SessionRecord,
        client: SocketStream,
        clients_words: bytes,
        backend: SocketStream,
        backends_words: bytes,
    ) -> None:
        """Relay between two streams; the bytes that were already read from each are passed on first."""
        terms, kind, plain = agreed
        relay = kind(terms, client, clients_words, backend, backends_words)
        relay.record = record
        try:
            record.logged_in = self._connections.loop.now
            record.client_bytes = relay.client
            record.backend_bytes = relay.backend
            record.entrance.sessions.live[record] = relay
            if plain:
                relay.begin()
            else:
                self._begin_prepared(relay)
        except Exception as bug:
            relay.abort(bug)  # nobody else has the connections

    def _begin_prepared(self, relay: Relay) -> None:
        server = relay.record.entrance.server
        if isinstance(relay, LimitedRelay):
            relay.keep_rates(server.settings.proxy)
        if server.watched:
            relay.start_watched()
        else:
            relay.begin()

    def _agree(self, server: Server) -> Agreed:
        proxy = server.settings.proxy
        clients = self._pump(proxy.buffer, watching=server.watched, limiting=bool(proxy.upload_rate), rows=self._rows)
        backends = self._pump(proxy.buffer, limiting=bool(proxy.limit_rate))
        times = proxy.timeout, server.settings.timeout
        terms, kind = Terms(self._connections, clients, backends, *times), LimitedRelay if server.limited else Relay
        self._agreed[server] = agreed = terms, kind, not (server.limited or server.watched)
        return agreed

    def _pump(self, buffer: int, *, watching: bool = False, limiting: bool = False, rows: Rows | None = None) -> Pump:
        """The pump for relays of this kind."""
        kind = buffer, watching, limiting, rows
        if kind not in self._pumps:
            self._pumps[kind] = Pump(self._connections.loop, *kind)
        return self._pumps[kind]

    def close(self) -> None:
        """Free the resources of relays; no relay may be left."""
        for pump in self._pumps.values():
            pump.close()


if accelerator is not None:
    accelerator.note_relays(Relays, Relay)
