"""A TLS connection over a non-blocking socket."""

from __future__ import annotations

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.native.core.readiness import READ, WRITE, Readiness
from mailworker.native.tls import connection as steps
from mailworker.native.tls.connection import PAGE, PAGE_SIZE, PAGE_VIEW, Connection, Io
from mailworker.native.tls.context import Context
from mailworker.native.tls.queue import take_reasons

# The results of a step that has to wait.
_WAITS = {-READ: READ, -WRITE: WRITE}


class TlsConnection(Connection):
    """Our side of a TLS connection.

    A step that would block returns the Readiness to wait for; then the caller repeats it with the same arguments. Steps
    raise TlsError if OpenSSL refuses what the peer sent, and ConnectionLost if a system call fails.
    """

    __slots__ = ("_broken", "party")

    def __init__(self, context: Context, fd: int, party: Party = Party.CLIENT, *, chooses: bool = False) -> None:
        """`fd` stays the caller's, which closes it after `free`; for `chooses` see `Connection`."""
        super().__init__(context, fd, chooses=chooses)
        self._broken = False  # OpenSSL forbids a close_notify after a fatal error
        self.party = party

    @classmethod
    def adopted(cls, context: Context, address: int) -> TlsConnection:
        """A client's connection whose SSL, at `address`, was made in C; the SSL is freed with this object."""
        connection = cls.__new__(cls)
        connection._broken = False
        connection.party = Party.CLIENT
        connection.adopt(context, address)  # last: until it returns, the caller frees the SSL
        return connection

    def handshake(self, *, more: bool = False) -> Readiness | None:
        """Do the handshake; None when it is done.

        `more`: a `send` follows at once, so the last bytes of the handshake may be sent with that. Raises
        ConnectionLost with errno 0 if the peer closes, nginx's "peer closed connection in SSL handshake".
        """
        return self._shaken(steps.handshake(self.handle, more))

    def _shaken(self, result: int) -> Readiness | None:
        if result > 0:
            return None
        if result == 0:
            raise self.failure("SSL_do_handshake()", None)
        return self._wait(result, "SSL_do_handshake()")

    def recv(self, limit: int) -> bytes | Readiness:
        """Up to `limit` bytes, b"" after the peer's close_notify or the end of its stream."""
        result = steps.read(self.handle, PAGE, min(limit, PAGE_SIZE))
        return PAGE_VIEW[:result] if result >= 0 else self._wait(result, "SSL_read()")

    def send(self, data: bytes) -> int | Readiness:
        """The number of bytes of `data` that were accepted; after a Readiness, repeat the call with the same bytes."""
        if not data:
            return 0
        result = steps.write(self.handle, data, len(data))
        return result if result > 0 else self._wait(result, "SSL_write()")

    def close_notify(self) -> Readiness | None:
        """End our side: None when close_notify is sent, or the peer is gone. The peer's data can still be read."""
        return None if self._broken else self._farewell(steps.close_notify(self.handle))

    def shutdown(self) -> Readiness | None:
        """End both sides: None when both have sent close_notify, or the peer is gone.

        READ means that ours is sent; to wait for the peer's is optional, and needs a timeout. Raises TlsError if the
        peer sends other data.
        """
        return None if self._broken else self._farewell(steps.shutdown(self.handle))

    def _farewell(self, result: int) -> Readiness | None:
        if result >= 0 or result == Io.SYSTEM:
            return None
        return self._wait(result, "SSL_shutdown()")

    def _wait(self, result: int, call: str) -> Readiness:
        readiness = _WAITS.get(result)
        if readiness is not None:
            return readiness
        raise self.failure(call, steps.last_errno() if result == Io.SYSTEM else 0)

    def failure(self, call: str, error: int | None) -> ConnectionLost | TlsError:
        """The exception for a failed call.

        `error` is an errno, 0 if the reason is in OpenSSL's error queue, None if the peer has closed.
        """
        self._broken = True
        if error == 0:
            return TlsError(self.party, call, take_reasons())
        return ConnectionLost(self.party, call, error or 0)
