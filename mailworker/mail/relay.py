"""Bytes between a client that is logged in and its backend.

The session's coroutine is gone by now. Two `Side`s and a `Relay` are all that is left of it, and none of them
holds a buffer while nothing is held up.
"""

from __future__ import annotations

import os
from contextlib import suppress
from sys import intern

from mailworker.config.settings import MailServer
from mailworker.errors import Party, PeerError
from mailworker.event.connections import Connections
from mailworker.event.loop import Loop
from mailworker.event.selector import READ, WRITE
from mailworker.event.stream import SocketStream
from mailworker.event.timers import Timed
from mailworker.mail.session_log import SessionLog
from mailworker.native import sockets
from mailworker.native.relay import Pump, RelayStatus

# Plain numbers: every wake-up compares with them.
_MORE, _END, _SOURCE_BLOCKED = int(RelayStatus.MORE), int(RelayStatus.END), int(RelayStatus.SOURCE_BLOCKED)


class Side:
    """One end of a relay, and the direction that begins there.

    `pending` was read here and not yet taken by the other side, and nothing more is read before it is. `source`
    and `sink` are the events that the direction waits for, on this side's descriptor and on the other's.
    """

    __slots__ = (
        "descriptor",
        "ended",
        "other",
        "party",
        "pending",
        "relay",
        "sink",
        "source",
        "tls",
        "watched",
    )

    other: Side

    def __init__(self, stream: SocketStream, relay: Relay, pending: bytes) -> None:
        self.descriptor, self.tls, self.watched = stream.hand_over()
        self.party = stream.party
        self.relay = relay
        self.pending = pending
        self.source = 0 if pending else READ
        self.sink = WRITE if pending else 0
        self.ended = False

    @property
    def has_input(self) -> bool:
        """Whether bytes are at hand that no selector sees."""
        return bool(self.pending) or (self.tls is not None and self.tls.pending())

    def ready(self, mask: int) -> None:
        """The selector's call."""
        if not self.watched:
            return  # closed in this very round
        relay, other = self.relay, self.other
        relay.touch()
        try:
            if mask & other.sink:
                other.forward()
            if mask & self.source and not relay.closed:
                self.forward()
            if not relay.closed:
                self.watch()
                other.watch()
        except Exception as bug:
            relay.abort(bug)

    def watch(self) -> None:
        """Watch the descriptor for what is now waited for: this direction's input, room for the other's output."""
        events = self.source | self.other.sink
        if events == self.watched:
            return
        loop = self.relay.loop
        if not events:
            loop.unwatch(self.descriptor)
        elif self.watched:
            loop.change(self.descriptor, events, self)
        else:
            loop.watch(self.descriptor, events, self)
        self.watched = events

    def forward(self) -> None:
        """Move what can be moved from here to the other side, a bounded number of bytes."""
        if not self.pending or self._flush():
            self._move()

    def end_output(self) -> None:
        """Tell the peer that nothing more will be sent, while it may go on to send."""
        try:
            if self.tls is not None:
                self.tls.close_notify()
        except PeerError:
            self.relay.finish()  # the peer is gone as well
            return
        if sockets.end_output(self.descriptor):
            self.relay.finish()

    def close(self) -> None:
        """Close the connection; over TLS with a goodbye if the peer takes it at once."""
        if self.tls is not None:
            with suppress(PeerError):  # it may be gone already
                self.tls.close_notify()
            self.tls.free()
        os.close(self.descriptor)
        del self.other, self.relay  # no circle is left for the collector

    def _flush(self) -> bool:
        """Write what is pending; whether nothing is left of it."""
        other, pump = self.other, self.relay.relays.pump
        status = pump.flush(self.pending, other.descriptor, other.tls and other.tls.handle)
        if status == _MORE:
            self.pending = b""
            self.source, self.sink = READ, 0
            return True
        self.pending = self.pending[pump.moved :]
        self._stop(status, pump)
        return False

    def _move(self) -> None:
        other, relay = self.other, self.relay
        relays = relay.relays
        status = relays.pump.move(
            self.descriptor,
            self.tls and self.tls.handle,
            other.descriptor,
            other.tls and other.tls.handle,
            relay.settings.proxy.buffer,
        )
        if status == _MORE:
            if self.tls is not None:
                relay.loop.again(self)  # OpenSSL may hold more, which no selector sees
        elif status == _END:
            self._end()
        elif status != _SOURCE_BLOCKED or self.tls is not None:
            self._stop(status, relays.pump)

    def _stop(self, status: int, pump: Pump) -> None:
        """Wait for what held the direction up, or end a relay that has lost a side."""
        relay = self.relay
        wanted = WRITE if pump.wants_write else READ
        if status == RelayStatus.SOURCE_BLOCKED:
            self.source = wanted
        elif status == RelayStatus.SINK_BLOCKED:
            self.pending = self.pending or pump.kept()
            self.source, self.sink = 0, wanted
        elif status == RelayStatus.SOURCE_FAILED:
            relay.lose_source(self, pump.failure(status, self.party, tls=self.tls is not None))
        else:
            party, tls = self.other.party, self.other.tls
            relay.lose_sink(party, pump.failure(status, party, tls=tls is not None))

    def _end(self) -> None:
        self.ended = True
        self.source = 0
        if self.other.ended:
            self.relay.finish()
        else:
            self.relay.half_close()
            self.other.end_output()


class Relay(Timed):
    """Ends when both sides have ended their input, when one is lost, or after a time without a byte from either.

    That time is proxy_timeout; once one side has ended its input, the other has `timeout` to follow.
    """

    __slots__ = ("_active", "_client", "_log", "_upstream", "closed", "relays", "settings")

    def __init__(
        self,
        relays: Relays,
        settings: MailServer,
        log: SessionLog,
        client: tuple[SocketStream, bytes],
        upstream: tuple[SocketStream, bytes],
    ) -> None:
        super().__init__()
        self.relays = relays
        self.settings = settings
        self._log = log
        log.server = intern(log.server)  # thousands of idle sessions have these in common
        log.upstream = log.upstream and intern(log.upstream)
        self._active = self.loop.now
        self.closed = False
        self._client = Side(client[0], self, client[1])
        self._upstream = Side(upstream[0], self, upstream[1])
        self._client.other, self._upstream.other = self._upstream, self._client

    @property
    def loop(self) -> Loop:
        """The worker's."""
        return self.relays.connections.loop

    def start(self) -> None:
        """Begin, with what was read before the relay was there."""
        loop, sides = self.loop, (self._client, self._upstream)
        loop.set_deadline(self, self._active + self._timeout)
        for side in sides:
            if side.watched:
                loop.change(side.descriptor, side.watched, side)  # its stream was called so far
        for side in sides:
            if side.has_input and not self.closed:
                side.forward()
        if not self.closed:
            for side in sides:
                side.watch()

    def touch(self) -> None:
        """Something has moved."""
        self._active = self.relays.connections.loop.now

    def half_close(self) -> None:
        """One side has ended its input."""
        self.loop.set_deadline(self, self._active + self._timeout)

    def finish(self) -> None:
        """Both sides are done."""
        self._log.action = None
        self._log.info("proxied session done")
        self.close()

    def lose_source(self, side: Side, error: PeerError) -> None:
        """Reading from `side` failed, which is of no interest once the other side has said all it had to say."""
        if not side.other.ended:
            self._log.action = f"proxying and reading from {side.party.value}"
            self._log.fault(error)
        self.finish()

    def lose_sink(self, party: Party, error: PeerError) -> None:
        """Writing to `party` failed."""
        self._log.action = f"proxying and sending to {party.value}"
        self._log.fault(error)
        self.close()

    def expire(self) -> None:
        """The deadline has passed; it moved on if there was traffic meanwhile."""
        loop = self.loop
        deadline = self._active + self._timeout
        if deadline > loop.now:
            loop.set_deadline(self, deadline)
        else:
            self._log.action = "proxying"
            self._log.info("client timed out (110: Connection timed out)")
            self.close()

    def cut(self) -> None:
        """End now: the worker has waited for worker_shutdown_timeout."""
        self._log.action = "proxying"
        self._log.info("shutdown timeout")
        self.close()

    def abort(self, bug: Exception) -> None:
        """End because of a bug, which is nobody else's business."""
        self._log.action = "proxying"
        self._log.bug(bug)
        if not self.closed:
            self.close()

    def close(self) -> None:
        """Close both connections."""
        self.closed = True
        loop, sides = self.loop, (self._client, self._upstream)
        loop.cancel_deadline(self)
        for side in sides:
            if side.watched:
                loop.forget(side.descriptor)
                side.watched = 0
        for side in sides:
            side.close()
        self.relays.forget(self)

    @property
    def _timeout(self) -> float:
        """Seconds without a byte after which the relay ends."""
        half_closed = self._client.ended or self._upstream.ended
        return self.settings.timeout if half_closed else self.settings.proxy.timeout


class Relays:
    """All relays of a worker, and the scratch page that they share."""

    __slots__ = ("_live", "connections", "pump")

    def __init__(self, connections: Connections, largest_chunk: int) -> None:
        self.connections = connections
        self.pump = Pump(largest_chunk)
        self._live: dict[Relay, None] = {}  # half the size of a set

    def start(
        self,
        settings: MailServer,
        log: SessionLog,
        client: tuple[SocketStream, bytes],
        upstream: tuple[SocketStream, bytes],
    ) -> None:
        """Relay between two streams; each comes with the bytes that were read from it and are still to be passed on."""
        relay = Relay(self, settings, log, client, upstream)
        self._live[relay] = None
        relay.start()

    def forget(self, relay: Relay) -> None:
        """A relay has closed its two connections."""
        del self._live[relay]
        self.connections.release()
        self.connections.release()

    def cut(self) -> None:
        """End all."""
        for relay in tuple(self._live):
            relay.cut()

    def close(self) -> None:
        """Give back what relays need; none may be left."""
        self.pump.close()
