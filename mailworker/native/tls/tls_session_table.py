"""The TLS session cache in shared memory, for all workers; tls_session_table.c describes how it works."""

from __future__ import annotations

import time
from collections.abc import Callable
from mmap import mmap
from typing import TYPE_CHECKING

from mailworker.native.tls._native import ffi, lib

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData

LARGEST_SESSION: int = lib.SESSION_SIZE_MAX  # bytes
CELL_SIZE: int = lib.CELL_SIZE  # bytes: a session of up to 20 bytes more, with its id, takes one cell
SET_SIZE: int = ffi.sizeof("struct slot_set")  # bytes


class TlsSessionTable:
    """TLS sessions, which are secrets, by their ids.

    Tables over one memory, in any process, see each other's sessions; each gives its own timeout to those it stores.
    A session may be lost at any time, but a session that `get` returns was stored whole under that id. OpenSSL's
    callbacks use the table without Python (`Context.use_tls_session_table`); its methods are for other callers.
    """

    __slots__ = ("_clock", "_memory", "pointer")

    def __init__(
        self, memory: mmap, timeout: int, clock: Callable[[], float] = time.monotonic, *, start: int = 0
    ) -> None:
        """`timeout` is in seconds; `clock`, which only the methods use, counts seconds, alike in all processes.

        The table is in `memory` from byte `start` on: zeros, or the contents of other tables. Raises ValueError if that
        is too small.
        """
        size = len(memory) - start
        if size < 2 * SET_SIZE:
            raise ValueError(f"{size} bytes are too little for sessions")
        self._clock = clock
        self._memory = ffi.from_buffer("char[]", memory, require_writable=True)
        sets = ffi.cast("struct slot_set *", self._memory + start)
        lifetime = lib.table_ticks(timeout) - 1
        self.pointer: CData = ffi.new("struct tls_session_table *", (sets, size // SET_SIZE, lifetime))

    def new(self, session_id: bytes, session: bytes) -> None:
        """Store a session in place of an earlier one with this id, unless it has more than LARGEST_SESSION bytes."""
        lib.table_store(self.pointer, session_id, len(session_id), session, len(session), self._now())

    def get(self, session_id: bytes) -> bytes | None:
        """The latest session with this id, None if it is lost or its timeout has passed."""
        session = ffi.new("unsigned char[]", LARGEST_SESSION)
        length = lib.table_load(self.pointer, session_id, len(session_id), session, LARGEST_SESSION, self._now())
        return bytes(ffi.buffer(session, length)) if length >= 0 else None

    def remove(self, session_id: bytes) -> None:
        """Overwrite a session, so that its secrets are gone from memory too."""
        lib.table_remove(self.pointer, session_id, len(session_id))

    def _now(self) -> int:
        now: int = lib.table_ticks(self._clock())
        return now
