"""How bytes come and go, in steps that never wait: plain, or by TLS (`mailworker.tls.connection.TlsConnection`).

Streams and relays know no more of either than this. native/core/transport.h is the same for C.
"""

from __future__ import annotations

import os
from typing import Protocol

from mailworker.errors import ConnectionLost, Party
from mailworker.native.core.readiness import READ, WRITE, Readiness

__all__ = ["Plain", "Transport"]


class Transport(Protocol):
    """A step that cannot go on gives what its socket must be ready for. It raises ConnectionLost or TlsError."""

    def recv(self, limit: int) -> bytes | Readiness:
        """Up to `limit` bytes, b"" at the end of what the peer sends."""

    def send(self, data: bytes) -> int | Readiness:
        """How many bytes of `data` were taken; after a Readiness, the next call must start with the same bytes."""

    def pending(self) -> bool:
        """Whether there is input that no poller sees; it need not be data."""

    def close_notify(self) -> Readiness | None:
        """End our side as far as the transport does it: None once that is done, or the peer is gone."""


class Plain:
    """The transport of a bare socket, whose descriptor stays the caller's."""

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
        """A bare socket says no more than its FIN."""
