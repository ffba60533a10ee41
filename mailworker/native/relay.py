"""Bytes from one connection to another."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.native._native import ffi, lib
from mailworker.native.connection import Handle
from mailworker.native.queue import take_reasons

if TYPE_CHECKING:
    from mailworker.native._native import CData
_NULL = ffi.NULL


class RelayStatus(IntEnum):
    """How a step of the relay ended; see native.h."""

    MORE = lib.RELAY_MORE
    SOURCE_BLOCKED = lib.RELAY_SOURCE_BLOCKED
    SINK_BLOCKED = lib.RELAY_SINK_BLOCKED
    END = lib.RELAY_END
    SOURCE_FAILED = lib.RELAY_SOURCE_FAILED
    SINK_FAILED = lib.RELAY_SINK_FAILED


class Pump:
    """Moves bytes between sockets, plain or TLS (then with their handle); one serves all relays of a worker.

    Its page holds nothing between two calls but what `kept` copies.
    """

    __slots__ = ("_state",)

    def __init__(self, limit: int) -> None:
        """`limit` in bytes is the largest that `move` will be given. Raises MemoryError."""
        state = lib.pump_new(limit)
        if state == _NULL:
            raise MemoryError
        self._state: CData = ffi.gc(state, lib.pump_free)

    def move(self, source_fd: int, source: Handle | None, sink_fd: int, sink: Handle | None, limit: int) -> int:
        """Hand on a bounded number of bytes in chunks of `limit`, or as much as the sink has room for.

        Returns a `RelayStatus`.
        SINK_BLOCKED: read no more from this source before what `kept` returns has been flushed.
        MORE: call again in the loop's next round, even if no selector calls the source readable.
        """
        status: int = lib.pump_move(self._state, source_fd, source or _NULL, sink_fd, sink or _NULL, limit)
        return status

    def flush(self, data: bytes, sink_fd: int, sink: Handle | None) -> int:
        """Hand on kept bytes: MORE when all are taken, SINK_BLOCKED or SINK_FAILED; keep `data[pump.moved:]`.

        TLS demands that after SINK_BLOCKED the next call starts with the same bytes.
        """
        status: int = lib.pump_flush(self._state, data, len(data), sink_fd, sink or _NULL)
        return status

    def kept(self) -> bytes:
        """After `move`: the bytes that were read and that the sink did not take."""
        state = self._state
        kept: bytes = ffi.buffer(state.page + state.offset, state.length)[:]
        return kept

    def close(self) -> None:
        """Give memory and descriptors back; nothing else may be called afterwards."""
        ffi.release(self._state)

    @property
    def moved(self) -> int:
        """How many bytes the sink took in the last call."""
        moved: int = self._state.moved
        return moved

    @property
    def wants_write(self) -> bool:
        """Whether the side that blocked waits to be writable; else readable. TLS may want either on any side."""
        return bool(self._state.want == lib.IO_WANT_WRITE)

    def failure(self, status: int, party: Party, *, tls: bool) -> ConnectionLost | TlsError:
        """What SOURCE_FAILED or SINK_FAILED means: `party` is who stands at that side, `tls` whether by TLS."""
        if status == RelayStatus.SOURCE_FAILED:
            call = "SSL_read()" if tls else "recv()"
        else:
            call = "SSL_write()" if tls else "send()"
        if self._state.error:
            return ConnectionLost(party, call, self._state.error)
        return TlsError(party, call, take_reasons())
