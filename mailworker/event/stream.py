"""A byte stream to a peer that a coroutine reads from and writes to as if it blocked."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EAGAIN, EWOULDBLOCK
from math import inf
from typing import Protocol

from mailworker.errors import ConnectionLost, Party, TimedOut
from mailworker.event.loop import Loop
from mailworker.event.selector import READ, WRITE
from mailworker.event.task import Task, wait_for
from mailworker.native import sockets
from mailworker.tls.connection import TlsConnection, Want
from mailworker.tls.context import TlsContext


class Stream(Protocol):
    """What dialogues are written against.

    `deadline` is the monotonic time in seconds after which waiting raises TimedOut; `inf` waits for ever.
    `tls` is the TLS connection once there is one. Failures are raised as ConnectionLost or TlsError with the
    stream's party.
    """

    deadline: float
    tls: TlsConnection | None

    async def read(self, limit: int) -> bytes:
        """Up to `limit` bytes, at least one; b"" once the peer has ended its side."""

    async def write(self, data: bytes) -> None:
        """Hand over all of `data` to the system."""

    async def peek(self, limit: int) -> bytes:
        """As `read`, but what is given stays to be read; only before TLS."""

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        """Shake hands as the server; no byte may have been read beyond what was before TLS.

        `more` promises a `write` right after, with which the last bytes of the handshake may go.
        """

    def close(self) -> None:
        """Close at once; may be called again."""


_WOULD_BLOCK = (-EAGAIN, -EWOULDBLOCK)


class SocketStream:
    """A `Stream` over a non-blocking socket; `closed` is called once when it is closed."""

    __slots__ = ("_closed", "_events", "_loop", "_task", "deadline", "descriptor", "party", "tls")

    def __init__(
        self, loop: Loop, descriptor: int, party: Party, closed: Callable[[], None], *, watched: int = 0
    ) -> None:
        """The stream owns `descriptor` from now on; `watched` is what it is watched for already, with this stream."""
        self._loop = loop
        self.descriptor = descriptor
        self._closed: Callable[[], None] | None = closed
        self._task: Task | None = None
        self._events = watched  # what the selector watches for; 0: not registered
        self.deadline = inf
        self.party = party
        self.tls: TlsConnection | None = None

    async def read(self, limit: int) -> bytes:
        """See `Stream.read`."""
        tls = self.tls
        if tls is not None:
            return await self._read_tls(tls, limit)
        while True:
            if self._events != READ:
                self._watch(READ)
            await wait_for(self)
            data = sockets.recv(self.descriptor, limit)
            if isinstance(data, bytes):
                return data
            if data not in _WOULD_BLOCK:
                raise ConnectionLost(self.party, "recv()", -data)

    async def peek(self, limit: int) -> bytes:
        """See `Stream.peek`."""
        while True:
            await self._wait(READ)
            data = sockets.peek(self.descriptor, limit)
            if isinstance(data, bytes):
                return data
            if data not in _WOULD_BLOCK:
                raise ConnectionLost(self.party, "recv()", -data)

    async def write(self, data: bytes) -> None:
        """See `Stream.write`."""
        tls = self.tls
        if tls is not None:
            await self._write_tls(tls, data)
            return
        while (sent := sockets.send(self.descriptor, data)) != len(data):
            if sent >= 0:
                data = data[sent:]
            elif sent not in _WOULD_BLOCK:
                raise ConnectionLost(self.party, "send()", -sent)
            await self._wait(WRITE)

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        """See `Stream.start_tls`."""
        self.tls = tls = TlsConnection(context, self.descriptor)
        while (want := tls.handshake(more=more)) is not None:
            await self._wait(want)

    async def end_tls(self) -> None:
        """Say goodbye in TLS and wait for the peer's, as long as `deadline` allows; nothing to do without TLS."""
        if self.tls is not None:
            while (want := self.tls.shutdown()) is not None:
                await self._wait(want)

    def close(self) -> None:
        """See `Stream.close`."""
        closed = self._closed
        if closed is not None:
            descriptor, tls, events = self.hand_over()
            if events:
                self._loop.forget(descriptor)
            if tls is not None:
                tls.free()
            os.close(descriptor)
            closed()

    def hand_over(self) -> tuple[int, TlsConnection | None, int]:
        """Give away what the stream was made of; it is of no more use, and never `closed`.

        The last value is what the descriptor is still watched for, 0 for nothing: the taker must change that.
        """
        self._closed = None
        events, self._events = self._events, 0
        tls, self.tls = self.tls, None
        return self.descriptor, tls, events

    def ready(self, mask: int) -> None:
        """The selector's call: go on, or stop to watch while nobody waits."""
        if not self._events:
            return  # closed in this very round
        task, self._task = self._task, None
        if task is None:
            self._loop.unwatch(self.descriptor)
            self._events = 0
        else:
            task.resume()

    def park(self, task: Task) -> None:
        """The task's call: resume `task` once the socket is ready for what is watched."""
        self._task = task
        if task.deadline != self.deadline:
            self._loop.set_deadline(task, self.deadline)

    def timed_out(self) -> TimedOut:
        """The task's call: `deadline` has passed."""
        self._task = None
        return TimedOut(self.party)

    async def _wait(self, events: int) -> None:  # a Want has the selector's numbers
        if self._events != events:
            self._watch(events)
        await wait_for(self)

    def _watch(self, events: int) -> None:
        watch = self._loop.change if self._events else self._loop.watch
        try:
            watch(self.descriptor, events, self)
        except OSError as error:
            raise ConnectionLost(self.party, f"{self._loop.method}()", error.errno or 0) from None
        self._events = events

    async def _read_tls(self, tls: TlsConnection, limit: int) -> bytes:
        if not tls.pending():
            await self._wait(READ)
        while True:
            data = tls.recv(limit)
            if isinstance(data, bytes):
                return data
            await self._wait(data)

    async def _write_tls(self, tls: TlsConnection, data: bytes) -> None:
        while True:
            sent = tls.send(data)
            if isinstance(sent, Want):
                await self._wait(sent)
            elif sent == len(data):
                return
            else:
                data = data[sent:]
