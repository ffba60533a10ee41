"""One side of a relay, and the direction that begins there; native/relay/ has it in C.

A side holds no buffer while the other side's peer takes everything at once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.event import sockets
from mailworker.event.gathering import gather
from mailworker.event.loop import Loop
from mailworker.event.poller import READ, WRITE
from mailworker.event.rows import Rows
from mailworker.event.stream import SocketStream
from mailworker.event.transport import Plain, Transport
from mailworker.native.core import accelerator
from mailworker.native.core.readiness import Readiness
from mailworker.native.tls.queue import take_reasons
from mailworker.wire.sieve_line import SieveLine

__all__ = ["LimitedSide", "ListedSide", "Loss", "Pump", "Relay", "Side", "WatchedSide", "failure"]

Loss = int | TlsError
"""Why a side was lost: an errno, 0 if the reason is in OpenSSL's error queue, or the TlsError made from that."""

# About how many bytes one call moves at most: a bulk download never starves other sessions.
_BOUND: Final = 262144


class Relay(Protocol):
    """The relay as its sides see it: they report ends and failures to it."""

    __slots__ = ()

    def half_close(self) -> None:
        """The first side has ended its input."""

    def finish(self) -> None:
        """Both sides have ended their input, and both ends were passed on; or one has, and nothing else is awaited."""

    def lose_source(self, side: Side, error: Loss) -> None:
        """Reading from `side` failed."""

    def lose_sink(self, side: Side, error: Loss) -> None:
        """Writing to `side` failed."""

    def refuse(self) -> None:
        """A watched side has sent what must not be passed on."""

    def abort(self, bug: Exception) -> None:
        """An unexpected exception was raised."""

    def allow(self, side: Side) -> int:
        """How many bytes may be read from a LimitedSide, which alone asks; after 0 its `resume` will be called."""


class Pump:
    """The data that sides share, each of which keeps at most `limit` bytes (proxy_buffer).

    With `watching` each side is a WatchedSide. With `limiting` it is a LimitedSide, which is watched too if both are
    given. With `rows`, those of the session table, every side is a ListedSide.
    """

    __slots__ = ("limit", "limiting", "loop", "rows", "watching")

    def __init__(
        self, loop: Loop, limit: int, watching: bool = False, limiting: bool = False, rows: Rows | None = None, /
    ) -> None:
        self.limit = limit
        self.limiting = limiting
        self.loop = loop
        self.rows = rows
        self.watching = watching

    def close(self) -> None:
        """Free memory and descriptors; no side may be left. In Python there is nothing to free."""


class Side:
    """Holds a connection and, while the other side takes no more, what was read from it.

    The relay must close both sides in the end, or nothing of it is ever freed. `active` is the loop's time when it last
    called this side. `ended` is 0 while more input may come, 1 if this side's input has ended first, 2 if the other
    side's had ended before. `received` and `sent` count bytes of data. `pending` was read here and not yet
    taken by the other side; nothing more is read before that. `pieces` is for event/gathering.py.
    """

    __slots__ = (
        "_pump", "_relay", "_sink", "_source", "_spoken", "_transport", "_watched", "active", "closed", "descriptor",
        "ended", "other", "pending", "pieces", "received", "sent", "tls",
    )  # fmt: skip

    other: Side
    """The other side, once they are joined and until this one is closed."""

    def __init__(self, relay: Relay, pump: Pump, stream: SocketStream, pending: bytes, /) -> None:
        """Take over the connection of `stream`; `pending` was read there already."""
        self.descriptor, self.tls, self._watched = stream.hand_over()
        self._pump = pump
        self._relay = relay
        self._sink = WRITE if pending else 0  # events that the direction waits for on the other side's descriptor
        self._source = 0 if pending else READ  # and on this side's
        self._spoken = bool(pending)  # whether this relay has passed on bytes of this side's peer
        self._transport: Transport = Plain(self.descriptor) if self.tls is None else self.tls
        self.active = 0.0
        self.closed = False
        self.ended = 0
        self.pending: bytes | None = pending or None
        self.pieces = 0
        self.received = stream.received
        self.sent = stream.sent

    def begin(self, other: Side) -> None:
        """Relay between this side and `other`, as soon as the loop would wait, with the bytes that were read before."""
        if not isinstance(other, Side) or hasattr(self, "other") or hasattr(other, "other"):
            raise TypeError("a fresh side is wanted")
        self.other, other.other = other, self
        self._pump.loop.late.append(self)

    def ready(self, mask: int) -> None:
        """Called by the poller, and with 0 to begin."""
        if not self.closed and not self.other.closed:
            self._guarded(lambda: self._serve(mask) if mask else self._begin_both())

    def close(self) -> None:
        """Close the connection; over TLS after a close_notify, if the peer takes it at once."""
        if self.closed:
            return
        self.closed = True
        try:
            if self._watched:
                self._pump.loop.forget(self.descriptor)
            if self.tls is not None:
                self._transport.close_notify()
                self.tls.free()
        finally:
            os.close(self.descriptor)
            if hasattr(self, "other"):  # it may be closed before they are joined
                del self.other
            del self._relay, self._transport, self.tls  # breaks reference cycles

    def _guarded(self, step: Callable[[], None]) -> None:
        relay = self._relay
        try:
            step()
        except Exception as bug:
            relay.abort(bug)

    def _begin_both(self) -> None:
        other = self.other
        self.active = self._pump.loop.now
        if isinstance(self, ListedSide) and self._pump.rows is not None:
            self._pump.rows.relay(self.row, self.active)
        for side in (self, other):  # from now on the loop calls the sides, not the streams that had the descriptors
            if side._watched:
                self._pump.loop.change(side.descriptor, side._watched, side)
        for side in (self, other):
            if not side.closed and (side.pending or side._transport.pending()):
                side._forward()
        self._watch_both(other)

    def _serve(self, mask: int) -> None:
        other, loop = self.other, self._pump.loop
        pause, received = loop.now - self.active, self.received
        self.active = loop.now
        if mask & other._sink:
            other._forward()
        if not self.closed and mask & self._source:
            self._forward()
        if not self.closed:
            gather(self, loop, pause, self.received - received)
        self._watch_both(other)

    def _watch_both(self, other: Side) -> None:
        if not self.closed:
            _note(self, other)
            self._watch()
            other._watch()

    def _watch(self) -> None:
        """Watch for this direction's input, and for room for the other direction's output."""
        loop, events = self._pump.loop, self._source | self.other._sink
        if events != self._watched:
            if not events:
                loop.unwatch(self.descriptor)
            elif self._watched:
                loop.change(self.descriptor, events, self)
            else:
                loop.watch(self.descriptor, events, self)
            self._watched = events

    def _forward(self) -> None:
        """Move a bounded number of bytes from here to the other side."""
        if self.ended:
            self._say_goodbye()
            return
        moved, plain = 0, self.tls is None
        while self._hand_on():
            if moved >= _BOUND:
                if not plain:  # OpenSSL may hold more, which no poller sees
                    self._pump.loop.again(self)
                return
            data = self._take(self._pump.limit)
            if data is None:
                return
            moved += len(data)
            self.received += len(data)
            self._spoken = True
            self.pending = data
            if plain and len(data) < self._pump.limit:
                self._hand_on()  # that was all; spare the call that would say so
                return

    def _take(self, most: int) -> bytes | None:
        """The peer's next bytes, `most` at most; None after its end or a loss, or if there is nothing to read."""
        try:
            data = self._transport.recv(most)
        except (ConnectionLost, TlsError) as error:
            self._relay.lose_source(self, _loss(error))
            return None
        if isinstance(data, Readiness):
            self._source = data
        elif data:
            return data
        else:
            self._end()
        return None

    def _hand_on(self) -> bool:
        """Send what is pending to the other side's peer; False if it does not take all, or is lost."""
        while self.pending:
            try:
                sent = self.other._transport.send(self.pending)
            except (ConnectionLost, TlsError) as error:
                self._relay.lose_sink(self.other, _loss(error))
                return False
            if isinstance(sent, Readiness):
                self._source, self._sink = 0, sent
                return False
            self.other.sent += sent
            self.pending = self.pending[sent:] or None
        self._source, self._sink = READ, 0
        return True

    def _end(self) -> None:
        self.ended = 2 if self.other.ended else 1
        self._source = 0
        if not self._spoken and self.other.pending is None:
            self._relay.finish()  # the peer has asked for nothing, and has got all that was read: it awaits no reply
            return
        self._say_goodbye()
        if not self.closed and not self.other.ended:
            self._relay.half_close()

    def _say_goodbye(self) -> None:
        """Pass on the end of input; called again until the other side's peer has got it."""
        if not self._end_output() or (self._is_over and self.other._is_over):
            self._relay.finish()

    def _end_output(self) -> bool:
        """Send FIN to the other side's peer, which may go on to send; over TLS after a close_notify, which may wait.

        If nothing else is left to do, there is no FIN, as `close` follows at once. Returns False if the peer is gone.
        """
        other = self.other
        try:
            self._sink = WRITE if other._transport.close_notify() == WRITE else 0
            if not self._sink and not other._is_over:
                with sockets.borrowed(other.descriptor) as connection:
                    connection.shutdown(socket.SHUT_WR)
        except (OSError, TlsError):
            return False
        return True

    @property
    def _is_over(self) -> bool:
        """Whether no more input comes, and the other side's peer knows."""
        return self.ended > 0 and not self._sink


class ListedSide(Side):
    """A client's side, which writes its byte counts into the `row` of its stream, see `Rows.note`."""

    __slots__ = ("row",)

    def __init__(self, relay: Relay, pump: Pump, stream: SocketStream, pending: bytes, /) -> None:
        super().__init__(relay, pump, stream, pending)
        self.row = stream.row


class WatchedSide(ListedSide):
    """The side of a ManageSieve client: see wire/sieve_line.py."""

    __slots__ = ("_line",)

    def __init__(self, relay: Relay, pump: Pump, stream: SocketStream, pending: bytes, /) -> None:
        super().__init__(relay, pump, stream, pending)
        self._line = SieveLine()

    def refuses(self, data: bytes, /) -> bool:
        """Whether the client may not send `data`, which was read before; the next bytes continue its last line."""
        return self._line.refuses(data)

    def _take(self, most: int) -> bytes | None:
        data = super()._take(most)
        if data is None or not (self._pump.watching and self._line.refuses(data)):
            return data
        self.received += len(data)
        self._relay.refuse()
        return None


class LimitedSide(WatchedSide):
    """A side from which no more is read than the relay allows; while it allows nothing, the side is not watched."""

    __slots__ = ("_allow", "_allowance")

    def __init__(self, relay: Relay, pump: Pump, stream: SocketStream, pending: bytes, /) -> None:
        super().__init__(relay, pump, stream, pending)
        self._allow: Callable[[Side], int] = relay.allow
        self._allowance = 0

    def close(self) -> None:
        """See `Side`."""
        super().close()
        self._allow = lambda _: 0

    def resume(self, allowance: int, /) -> None:
        """Go on, and read up to `allowance` bytes."""
        self._allowance = allowance
        self._source = READ
        self.ready(READ)

    def _take(self, most: int) -> bytes | None:
        if not self._allowance:
            self._allowance = self._allow(self)
        if self._allowance < 0:
            raise ValueError("less than nothing is allowed")
        if not self._allowance:
            self._source = 0
            return None
        data = super()._take(min(most, self._allowance))
        if data is not None:
            self._allowance -= len(data)
        return data


def _note(side: Side, other: Side) -> None:
    """Write the byte counts into the session's row, if it has one."""
    client = side if isinstance(side, ListedSide) and side._pump.rows is not None else other
    rows = client._pump.rows
    if rows is not None and isinstance(client, ListedSide) and rows.owner(client.row) is not None:
        rows.note(client.row, client.received, client.sent, side.active)


def _loss(error: ConnectionLost | TlsError) -> Loss:
    return error if isinstance(error, TlsError) else error.errno


def failure(party: Party, call: str, error: Loss) -> ConnectionLost | TlsError:
    """The exception for a loss that a side has reported, with the party and the call."""
    if isinstance(error, TlsError):
        return TlsError(party, call, error.reasons)
    return ConnectionLost(party, call, error) if error else TlsError(party, call, take_reasons())


if accelerator is not None and not TYPE_CHECKING:
    Pump, Side, WatchedSide = accelerator.Pump, accelerator.Side, accelerator.WatchedSide
    LimitedSide, ListedSide = accelerator.LimitedSide, accelerator.ListedSide
