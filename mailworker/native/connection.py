"""The SSL of OpenSSL: the server's side of one TLS connection over a non-blocking socket."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from mailworker.native._native import ffi, lib
from mailworker.native.certificate import Certificate
from mailworker.native.context import Context
from mailworker.native.page import PAGE, PAGE_SIZE, PAGE_VIEW
from mailworker.native.queue import OpenSslError, take_reasons

if TYPE_CHECKING:
    from mailworker.native._native import CData

Handle: TypeAlias = "CData"


class Io(IntEnum):
    """Why a step gave no bytes. SYSTEM: see `Connection.errno`; TLS: the reasons are in OpenSSL's error queue."""

    WANT_READ = lib.IO_WANT_READ
    WANT_WRITE = lib.IO_WANT_WRITE
    SYSTEM = lib.IO_SYSTEM
    TLS = lib.IO_TLS


class Connection:
    """One TLS connection. Steps return an `Io` (a negative number) where they give no bytes."""

    __slots__ = ("_context", "handle")

    def __init__(self, context: Context, fd: int) -> None:
        """`fd` stays the caller's; raises OpenSslError."""
        self._context = context  # its policy must outlive the callbacks
        pointer = lib.connection_new(context.pointer, fd)
        if pointer == ffi.NULL:
            raise OpenSslError("SSL_new", take_reasons())
        self.handle: Handle = ffi.gc(pointer, lib.connection_free)

    def handshake(self) -> int:
        """1: done, 0: the peer left."""
        result: int = lib.connection_handshake(self.handle)
        return result

    def read(self, limit: int) -> bytes | int:
        """Up to `limit` bytes; b"" at the end of what the peer sends."""
        result: int = lib.connection_read(self.handle, PAGE, min(limit, PAGE_SIZE))
        return PAGE_VIEW[:result] if result >= 0 else result

    def write(self, data: bytes) -> int:
        """How many bytes of `data`, which is not empty, were taken."""
        result: int = lib.connection_write(self.handle, data, len(data))
        return result

    def close_notify(self) -> int:
        """1: ours is sent, and the peer may still be read; 0: the peer is gone."""
        result: int = lib.connection_close_notify(self.handle)
        return result

    def shutdown(self) -> int:
        """1: both sides said close_notify, 0: the peer is gone; WANT_READ: ours is sent, theirs has not come."""
        result: int = lib.connection_shutdown(self.handle)
        return result

    @property
    def errno(self) -> int:
        """The system's error number of the last step."""
        return ffi.errno

    def pending(self) -> bool:
        """Whether decrypted bytes wait inside of OpenSSL."""
        return bool(lib.SSL_pending(self.handle) > 0)

    def free(self) -> None:
        """Give the memory back; nothing else may be called afterwards."""
        ffi.release(self.handle)

    @property
    def version(self) -> str:
        """The protocol version, as in "TLSv1.3"."""
        return _text(lib.SSL_get_version(self.handle))

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        return _text(lib.SSL_get_cipher_name(self.handle))

    @property
    def alpn(self) -> bytes | None:
        """The protocol agreed on by ALPN, None without ALPN."""
        start, length = ffi.new("unsigned char const **"), ffi.new("unsigned int *")
        lib.SSL_get0_alpn_selected(self.handle, start, length)
        return bytes(ffi.buffer(start[0], length[0])) if length[0] else None

    @property
    def reused(self) -> bool:
        """Whether an earlier session was resumed."""
        return bool(lib.SSL_session_reused(self.handle))

    @property
    def verify_result(self) -> tuple[int, str]:
        """OpenSSL's code and text for the peer's chain; 0 where it is good or there is none."""
        code = lib.SSL_get_verify_result(self.handle)
        return code, _text(lib.X509_verify_cert_error_string(code))

    @property
    def peer_certificate(self) -> Certificate | None:
        """The certificate that the peer sent."""
        pointer = lib.SSL_get_peer_certificate(self.handle)
        return Certificate(pointer) if pointer != ffi.NULL else None

    @property
    def certificate(self) -> Certificate:
        """The certificate that this side has chosen."""
        pointer = lib.SSL_get_certificate(self.handle)
        lib.X509_up_ref(pointer)
        return Certificate(pointer)

    @property
    def server_name(self) -> bytes | None:
        """The name that the client has asked for by SNI, None where it did not."""
        name = lib.SSL_get_servername(self.handle, lib.TLSEXT_NAMETYPE_host_name)
        return None if name == ffi.NULL else ffi.string(name)

    def drop_session(self) -> None:
        """Take this connection's session out of all caches, so that it is not resumed from there."""
        session = lib.SSL_get_session(self.handle)
        if session != ffi.NULL:
            self._context.drop_session(session)


def _text(start: CData) -> str:
    return bytes(ffi.string(start)).decode()
