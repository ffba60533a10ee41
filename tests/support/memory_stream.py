"""A stream without a socket: its peer follows a script."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from math import inf
from typing import TypeVar

from mailworker.errors import Party, PeerError, TimedOut
from mailworker.event.stream import Agreement, TlsContext
from mailworker.event.task import WaitUntil
from mailworker.native.tls.certificate import Certificate
from mailworker.tls.connection import TlsConnection

_Result = TypeVar("_Result")

CLIENT_TIMED_OUT = TimedOut(Party.CLIENT)


class MemoryTls(TlsConnection):
    """The result of a handshake that never took place; its steps cannot be performed."""

    def __init__(self, verify_result: tuple[int, str] = (0, "ok"), peer_certificate: Certificate | None = None) -> None:
        self._verify_result = verify_result
        self._peer_certificate = peer_certificate
        self.party = Party.CLIENT
        self.dropped_session = False

    def drop_session(self) -> None:
        self.dropped_session = True

    @property
    def protocol(self) -> str:
        return "TLSv1.3"

    @property
    def cipher(self) -> str:
        return "TLS_AES_256_GCM_SHA384"

    @property
    def verify_result(self) -> tuple[int, str]:
        return self._verify_result

    @property
    def peer_certificate(self) -> Certificate | None:
        return self._peer_certificate


class MemoryStream:
    """A `mailworker.event.stream.Stream` whose peer sends `script`.

    A step of the script is a chunk that arrives at once, of which a read returns no more than its limit, or an error
    that a read raises: CLIENT_TIMED_OUT, a ConnectionLost. b"" and the script's end are the end of the peer's side.
    `writes` is what was written, write by write; `deadlines` holds the deadline at each read and peek.
    A write raises `write_error` and a handshake `handshake_error`, unless it is None. Over TLS from the first byte:
    `MemoryStream(..., tls=MemoryTls())`.
    """

    def __init__(self, *script: bytes | PeerError, tls: TlsConnection | None = None) -> None:
        self._script = deque(script)
        self.deadline = inf
        self.tls = tls
        self.writes: list[bytes] = []
        self.deadlines: list[float] = []
        self.closed = False
        self.write_error: PeerError | None = None
        self.handshake_error: PeerError | None = None

    @property
    def secure(self) -> bool:
        return self.tls is not None

    @property
    def agreement(self) -> Agreement | None:
        tls = self.tls
        return None if tls is None else (tls.protocol.encode(), tls.cipher.encode(), tls.server_name)

    @property
    def output(self) -> bytes:
        """All that was written."""
        return b"".join(self.writes)

    @property
    def unread(self) -> bytes:
        """The part of the script that has not been read, without errors."""
        return b"".join(step for step in self._script if isinstance(step, bytes))

    def then(self, *steps: bytes | PeerError) -> None:
        """Append steps to the script."""
        self._script.extend(steps)

    async def read(self, limit: int) -> bytes:
        chunk = self._next_chunk(limit)
        if len(chunk) > limit:
            self._script.appendleft(chunk[limit:])
        return chunk[:limit]

    async def peek(self, limit: int) -> bytes:
        if self.tls is not None:
            raise AssertionError("peek over TLS")
        chunk = self._next_chunk(limit)
        if chunk:
            self._script.appendleft(chunk)
        return chunk[:limit]

    async def write(self, data: bytes) -> None:
        if self.closed:
            raise AssertionError("a write after close")
        if self.write_error is not None:
            raise self.write_error
        self.writes.append(data)

    async def start_tls(self, context: TlsContext, *, more: bool = False) -> None:
        if self.tls is not None:
            raise AssertionError("TLS inside of TLS")
        if self.handshake_error is not None:
            raise self.handshake_error
        self.tls = MemoryTls()

    def close(self) -> None:
        self.closed = True

    def _next_chunk(self, limit: int) -> bytes:
        if self.closed:
            raise AssertionError("a read after close")
        if limit <= 0:
            raise AssertionError(f"a read of {limit} bytes cannot be told from the end")
        self.deadlines.append(self.deadline)
        step = self._script.popleft() if self._script else b""
        if isinstance(step, PeerError):
            raise step
        return step


def run(awaitable: Awaitable[_Result]) -> _Result:
    """Run a coroutine that waits for memory streams only; returns its result. Pauses are skipped."""
    coroutine = awaitable.__await__()
    try:
        while isinstance(waits_for := coroutine.send(None), WaitUntil):
            pass
    except StopIteration as end:
        result: _Result = end.value
        return result
    coroutine.close()
    raise AssertionError(f"the coroutine waits for {waits_for!r}")
