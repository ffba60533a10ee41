"""Bytes between a client that is logged in and its backend.

The session's coroutine is gone by now. Two `Side`s and a `Relay` are all that is left of it, and none of them
holds a buffer while nothing is held up.
"""

from __future__ import annotations

import os
from contextlib import suppress

from mailworker.config.settings import MailServer
from mailworker.errors import Party, PeerError
from mailworker.event.connections import Connections
from mailworker.event.selector import READ, WRITE
from mailworker.event.stream import SocketStream
from mailworker.event.timers import Timed
from mailworker.mail.session_log import SessionLog
from mailworker.native import sockets
from mailworker.native.relay import Pump, RelayStatus


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
    def interest(self) -> int:
        """What this side's descriptor is watched for: its own direction's input, the other's output."""
        return self.source | self.other.sink

    @property
    def has_input(self) -> bool:
        """Whether bytes are at hand that no selector sees."""
        return bool(self.pending) or (self.tls is not None and self.tls.pending())

    def ready(self, mask: int) -> None:
        """The selector's call."""
        if not self.watched:
            return  # closed in this very round
        relay = self.relay
        relay.touch()
        try:
            if mask & self.other.sink:
                self.other.forward()
            if mask & self.source and not relay.closed:
                self.forward()
            relay.watch()
        except Exception as bug:
            relay.abort(bug)

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
        other, pump = self.other, self.relay.pump
        status = pump.flush(self.pending, other.descriptor, other.tls and other.tls.handle)
        if status == RelayStatus.MORE:
            self.pending = b""
            self.source, self.sink = READ, 0
            return True
        self.pending = self.pending[pump.moved :]
        self._stop(status)
        return False

    def _move(self) -> None:
        other, relay = self.other, self.relay
        status = relay.pump.move(
            self.descriptor,
            self.tls and self.tls.handle,
            other.descriptor,
            other.tls and other.tls.handle,
            relay.chunk,
        )
        if status == RelayStatus.MORE:
            if self.tls is not None:
                relay.again(self)  # OpenSSL may hold more, which no selector sees
        elif status == RelayStatus.END:
            self._end()
        else:
            self._stop(status)

    def _stop(self, status: int) -> None:
        """Wait for what held the direction up, or end a relay that has lost a side."""
        relay, pump = self.relay, self.relay.pump
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

    __slots__ = ("_active", "_log", "_relays", "_sides", "_timeout", "chunk", "closed", "pump")

    def __init__(
        self,
        relays: Relays,
        settings: MailServer,
        log: SessionLog,
        client: tuple[SocketStream, bytes],
        upstream: tuple[SocketStream, bytes],
    ) -> None:
        super().__init__()
        self._relays = relays
        self._log = log
        self.pump = relays.pump
        self.chunk = settings.proxy.buffer
        self._timeout = (settings.proxy.timeout, settings.timeout)
        self._active = relays.connections.loop.now
        self.closed = False
        self._sides = (Side(client[0], self, client[1]), Side(upstream[0], self, upstream[1]))
        first, second = self._sides
        first.other, second.other = second, first

    def start(self) -> None:
        """Begin, with what was read before the relay was there."""
        loop = self._relays.connections.loop
        loop.set_deadline(self, self._active + self._timeout[0])
        for side in self._sides:
            if side.watched:
                loop.change(side.descriptor, side.watched, side)  # its stream was called so far
        for side in self._sides:
            if side.has_input and not self.closed:
                side.forward()
        self.watch()

    def touch(self) -> None:
        """Something has moved."""
        self._active = self._relays.connections.loop.now

    def watch(self) -> None:
        """Watch the descriptors for what their sides now wait for."""
        if self.closed:
            return
        loop = self._relays.connections.loop
        for side in self._sides:
            interest = side.interest
            if interest == side.watched:
                continue
            if not interest:
                loop.unwatch(side.descriptor)
            elif side.watched:
                loop.change(side.descriptor, interest, side)
            else:
                loop.watch(side.descriptor, interest, side)
            side.watched = interest

    def again(self, side: Side) -> None:
        """Let `side` go on in the loop's next round."""
        self._relays.connections.loop.again(side)

    def half_close(self) -> None:
        """One side has ended its input."""
        self._timeout = (self._timeout[1], self._timeout[1])
        self._relays.connections.loop.set_deadline(self, self._active + self._timeout[0])

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
        loop = self._relays.connections.loop
        deadline = self._active + self._timeout[0]
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
        loop = self._relays.connections.loop
        loop.cancel_deadline(self)
        for side in self._sides:
            if side.watched:
                loop.forget(side.descriptor)
                side.watched = 0
        for side in self._sides:
            side.close()
        self._relays.forget(self)


class Relays:
    """All relays of a worker, and the scratch page that they share."""

    __slots__ = ("_live", "connections", "pump")

    def __init__(self, connections: Connections, largest_chunk: int) -> None:
        self.connections = connections
        self.pump = Pump(largest_chunk)
        self._live: set[Relay] = set()

    def start(
        self,
        settings: MailServer,
        log: SessionLog,
        client: tuple[SocketStream, bytes],
        upstream: tuple[SocketStream, bytes],
    ) -> None:
        """Relay between two streams; each comes with the bytes that were read from it and are still to be passed on."""
        relay = Relay(self, settings, log, client, upstream)
        self._live.add(relay)
        relay.start()

    def forget(self, relay: Relay) -> None:
        """A relay has closed its two connections."""
        self._live.discard(relay)
        self.connections.release()
        self.connections.release()

    def cut(self) -> None:
        """End all."""
        for relay in tuple(self._live):
            relay.cut()
