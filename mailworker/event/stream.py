"""A byte stream to a peer that a coroutine reads from and writes to as if it blocked."""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import Protocol

from mailworker.errors import ConnectionLost, TimedOut
from mailworker.event.selector import READ, WRITE
from mailworker.native.core import sockets, tasks
from mailworker.native.core.readiness import Readiness
from mailworker.tls.connection import TlsConnection


class TlsContext(Protocol):
    """Makes the TLS connections of a server, or those to a backend."""

    def connection(self, descriptor: int) -> TlsConnection: ...


class Stream(Protocol):
    """What dialogues are written against.

    `deadline` is the monotonic time in seconds after which waiting raises TimedOut; `inf` waits for ever.
    `tls` is the TLS connection once there is one. Failures are raised as ConnectionLost or TlsError with the
    stream's party.
    """

    deadline: float
    tls: TlsConnection | None

    def read(self, limit: int) -> Awaitable[bytes]:
        """Up to `limit` bytes, at least one; b"" once the peer has ended its side."""

    def write(self, data: bytes) -> Awaitable[None]:
        """Hand over all of `data` to the system."""

    def peek(self, limit: int) -> Awaitable[bytes]:
        """As `read`, but what is given stays to be read; only before TLS."""

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        """Shake hands; no byte may have been read beyond what was before TLS.

        `more` promises a `write` right after, with which the last bytes of the handshake may go.
        """

    def close(self) -> None:
        """Close at once; may be called again."""


class SocketStream(tasks.Stream):
    """A `Stream` over a non-blocking socket; `closed` is called once when it is closed.

    What it is made of, and all that a plain connection does when nothing goes wrong, is C: see _stream.pyi. `received`
    and `sent` count the bytes of data.
    """

    __slots__ = ()

    async def established(self) -> None:
        """Wait until the connection is made. Raises ConnectionLost and TimedOut."""
        await self.wait(WRITE)
        outcome = sockets.peek(self.descriptor, 1)
        if isinstance(outcome, int) and outcome not in sockets.WOULD_BLOCK:
            raise self._lost("connect()", -outcome)

    @property
    def connected(self) -> bool:
        """Whether the connection was made and stands."""
        same = socket.socket(fileno=self.descriptor)
        try:
            same.getpeername()
        except OSError:
            return False
        finally:
            same.detach()
        return True

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        """See `Stream.start_tls`."""
        self.tls = tls = context.connection(self.descriptor)
        while (want := tls.handshake(more=more)) is not None:
            await self.wait(want)

    async def end_tls(self) -> None:
        """Say goodbye in TLS and wait for the peer's, as long as `deadline` allows; nothing to do without TLS."""
        if self.tls is not None:
            while (want := self.tls.shutdown()) is not None:
                await self.wait(want)

    def timed_out(self) -> TimedOut:
        """The task's call: `deadline` has passed."""
        self.task = None
        return TimedOut(self.party)

    def _refused(self, error: OSError) -> ConnectionLost:
        """The selector will not watch the descriptor."""
        return self._lost(f"{self.loop.method}()", error.errno or 0)

    def _lost(self, call: str, errno: int) -> ConnectionLost:
        return ConnectionLost(self.party, call, errno)

    async def _read_tls(self, tls: TlsConnection, limit: int) -> bytes:
        if not tls.pending():
            await self.wait(READ)
        while True:
            data = tls.recv(limit)
            if isinstance(data, bytes):
                self.received += len(data)
                return data
            await self.wait(data)

    async def _write_tls(self, tls: TlsConnection, data: bytes) -> None:
        while True:
            sent = tls.send(data)
            if isinstance(sent, Readiness):
                await self.wait(sent)
                continue
            self.sent += sent
            if sent == len(data):
                return
            data = data[sent:]
