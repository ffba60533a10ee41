"""The pump, which moves bytes from one connection to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.native.relay._relay import Side
from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.queue import take_reasons

if TYPE_CHECKING:
    from mailworker.native.relay._relay import Loop
    from mailworker.native.tls._native import CData

__all__ = ["Pump", "Side", "failure"]


class Pump:
    """Moves bytes between sockets, plain or TLS; one serves all sides that have `loop` and `limit` in common.

    They get its `address`; each keeps at most `limit` bytes (proxy_buffer).
    """

    __slots__ = ("_loop", "_state", "address")

    def __init__(self, loop: Loop, limit: int) -> None:
        """Raises MemoryError."""
        self._loop = loop  # whose address the sides use
        state = lib.pump_new(ffi.cast("void *", id(loop)), limit)
        if state == ffi.NULL:
            raise MemoryError
        self._state: CData = ffi.gc(state, lib.pump_free)
        self.address = int(ffi.cast("uintptr_t", state))

    def close(self) -> None:
        """Give memory and descriptors back; no side may be left."""
        ffi.release(self._state)


def failure(party: Party, call: str, error: int) -> ConnectionLost | TlsError:
    """What a side was told of: `error` is an errno, or 0 where OpenSSL's error queue tells what happened."""
    return ConnectionLost(party, call, error) if error else TlsError(party, call, take_reasons())
