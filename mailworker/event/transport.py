"""Transports: non-blocking reading and writing, plain or over TLS (`mailworker.tls.connection.TlsConnection`).

Streams and relays use only this interface of either. native/core/transport.h is its counterpart in C.
"""

from __future__ import annotations

import os
from typing import Protocol

from mailworker.errors import ConnectionLost, Party
from mailworker.native.core.readiness import READ, WRITE, Readiness

__all__ = ["Plain", "Transport"]


class Transport(Protocol):
    """A call that would block returns what its socket must be ready for. Failures raise ConnectionLost or TlsError."""

    def recv(self, limit: int) -> bytes | Readiness:
        """Up to `limit` bytes, b"" at the end of what the peer sends."""

    def send(self, data: bytes) -> int | Readiness:
        """How many bytes of `data` were taken; after a Readiness, the next call must start with the same bytes."""

    def pending(self) -> bool:
        """Whether the transport has buffered input that no poller sees; it need not be data."""

    def close_notify(self) -> Readiness | None:
        """Send close_notify, if the transport has one; returns None if that is done, or if the peer is gone."""


class Plain:
    """The transport of a socket without TLS, whose descriptor stays the caller's."""

    __slots__ = ("_descriptor", "_party")

    def __init__(self, descriptor: int, party: Party = Party.CLIENT) -> None:
        self._descriptor = descriptor
        self._party = party

    def recv(self, limit: int) -> bytes | Readiness:
        try:
            return os.read(self._descriptor, limit)
        except BlockingIOError:
            return READ
        except OSError as error:
            raise ConnectionLost(self._party, "recv()", error.errno or 0) from None

    def send(self, data: bytes) -> int | Readiness:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return WRITE
        except OSError as error:
            raise ConnectionLost(self._party, "send()", error.errno or 0) from None

    def pending(self) -> bool:
        return False

    def close_notify(self) -> None:
        """Does nothing: without TLS, the FIN alone ends our side."""
