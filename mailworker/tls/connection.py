"""One TLS connection over a non-blocking socket: steps that never wait, and what was agreed on."""

from __future__ import annotations

from enum import IntEnum

from mailworker.errors import ConnectionLost, Party, TlsError
from mailworker.native.certificate import Certificate
from mailworker.native.connection import Connection, Handle, Io
from mailworker.native.queue import take_reasons
from mailworker.tls.context import TlsContext


class Want(IntEnum):
    """What the socket must be ready for before a step is tried again."""

    READ = 1
    WRITE = 2


_WANTS = {int(Io.WANT_READ): Want.READ, int(Io.WANT_WRITE): Want.WRITE}


class TlsConnection:
    """The server's side of a TLS connection.

    Each step returns a `Want` where it cannot go on, and is then to be called again with the same arguments.
    A step raises TlsError where OpenSSL refuses what the peer sent, and ConnectionLost where the system failed.
    """

    __slots__ = ("_broken", "_native", "party")

    def __init__(self, context: TlsContext, fd: int, party: Party = Party.CLIENT) -> None:
        """`fd` stays the caller's, who closes it after `free`."""
        self._native = Connection(context.native, fd)
        self._broken = False  # OpenSSL forbids a close_notify after a fatal error
        self.party = party

    def handshake(self) -> Want | None:
        """Shake hands; None once it is done.

        Raises ConnectionLost with errno 0 where the peer closes in between, which nginx logs as "peer closed
        connection in SSL handshake".
        """
        result = self._native.handshake()
        if result > 0:
            return None
        if result == 0:
            self._broken = True
            raise ConnectionLost(self.party, "SSL_do_handshake()", 0)
        return self._want(result, "SSL_do_handshake()")

    def recv(self, limit: int) -> bytes | Want:
        """Up to `limit` bytes, b"" after the peer's close_notify or the end of its stream."""
        result = self._native.read(limit)
        return result if isinstance(result, bytes) else self._want(result, "SSL_read()")

    def send(self, data: bytes) -> int | Want:
        """How many bytes of `data` were taken; after a Want, the next call must start with the same bytes."""
        if not data:
            return 0
        result = self._native.write(data)
        return result if result > 0 else self._want(result, "SSL_write()")

    def pending(self) -> bool:
        """Whether bytes can be read although no selector sees them."""
        return self._native.pending()

    def close_notify(self) -> Want | None:
        """End our side: None once close_notify is sent, or the peer is gone. The peer's side can still be read."""
        return None if self._broken else self._farewell(self._native.close_notify())

    def shutdown(self) -> Want | None:
        """End both sides: None once both have sent close_notify, or the peer is gone.

        Want.READ means that ours is sent: waiting for the peer's is a courtesy that wants a time limit. What else
        the peer sends raises TlsError.
        """
        return None if self._broken else self._farewell(self._native.shutdown())

    def drop_session(self) -> None:
        """Let no later connection resume this session from a cache: its certificate was refused."""
        self._native.drop_session()

    def free(self) -> None:
        """Give OpenSSL's memory back; nothing else may be called afterwards."""
        self._native.free()

    @property
    def handle(self) -> Handle:
        """What `native.relay` takes; valid until `free`."""
        return self._native.handle

    @property
    def protocol(self) -> str:
        """The version, as in "TLSv1.3"."""
        return self._native.version

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        return self._native.cipher

    @property
    def alpn(self) -> bytes | None:
        """The protocol agreed on by ALPN (RFC 7301), None where the client offered none."""
        return self._native.alpn

    @property
    def reused(self) -> bool:
        """Whether an earlier session was resumed."""
        return self._native.reused

    @property
    def verify_result(self) -> tuple[int, str]:
        """OpenSSL's code and text for the client's chain; code 0 also where no certificate was sent."""
        return self._native.verify_result

    @property
    def peer_certificate(self) -> Certificate | None:
        """The certificate that the peer sent, or that the resumed session holds."""
        return self._native.peer_certificate

    @property
    def certificate(self) -> Certificate:
        """The server's own certificate, the one chosen for this client."""
        return self._native.certificate

    @property
    def server_name(self) -> bytes | None:
        """The name that the client has asked for by SNI (RFC 6066 section 3), None where it did not."""
        return self._native.server_name

    def _farewell(self, result: int) -> Want | None:
        if result >= 0 or result == Io.SYSTEM:
            return None
        return self._want(result, "SSL_shutdown()")

    def _want(self, result: int, call: str) -> Want:
        want = _WANTS.get(result)
        if want is not None:
            return want
        self._broken = True
        if result == Io.SYSTEM:
            raise ConnectionLost(self.party, call, self._native.errno)
        raise TlsError(self.party, call, take_reasons())
