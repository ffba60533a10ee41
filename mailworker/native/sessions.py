"""The way from OpenSSL's session callbacks to a store in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mailworker.native._native import ffi

if TYPE_CHECKING:
    from mailworker.native._native import CData


class SessionStore(Protocol):
    """Where TLS sessions are kept between connections: ids of at most 32 bytes, sessions of at most 8192.

    The sessions are secrets. No method may raise: if one does, Python's `sys.unraisablehook` tells, and
    OpenSSL sees no session, so that a full handshake follows.
    """

    def new(self, session_id: bytes, session: bytes) -> None:
        """Keep a session; it may be dropped at any time."""

    def get(self, session_id: bytes) -> bytes | None:
        """The session of that id, None where there is none (any more); OpenSSL itself checks its age."""

    def remove(self, session_id: bytes) -> None:
        """Drop a session, if it is there."""


def _bytes(start: CData, length: int) -> bytes:
    return bytes(ffi.buffer(start, length))


@ffi.def_extern()
def session_new(sessions: CData, start: CData, id_length: int, encoded: CData, length: int) -> None:
    """C: OpenSSL has made a session."""
    store: SessionStore = ffi.from_handle(sessions)
    store.new(_bytes(start, id_length), _bytes(encoded, length))


@ffi.def_extern(error=0)
def session_get(sessions: CData, start: CData, id_length: int, encoded: CData, size: int) -> int:
    """C: a client names a session; 0 is none."""
    store: SessionStore = ffi.from_handle(sessions)
    session = store.get(_bytes(start, id_length))
    if session is None or len(session) > size:
        return 0
    ffi.memmove(encoded, session, len(session))
    return len(session)


@ffi.def_extern()
def session_remove(sessions: CData, start: CData, id_length: int) -> None:
    """C: a session is of no more use."""
    store: SessionStore = ffi.from_handle(sessions)
    store.remove(_bytes(start, id_length))
