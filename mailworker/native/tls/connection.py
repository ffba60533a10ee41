"""OpenSSL's SSL: our side of one TLS connection over a non-blocking socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.certificate import Certificate
from mailworker.native.tls.context import Context
from mailworker.native.tls.pair import Pair
from mailworker.native.tls.queue import OpenSslError, checked, take_reasons

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData

Handle: TypeAlias = "CData"
Session: TypeAlias = "CData"


class Io(IntEnum):
    """Why a step failed. SYSTEM: see `last_errno`; TLS: the reasons are in OpenSSL's error queue.

    HELLO: the handshake of a connection that `chooses` waits for the choice.
    """

    SYSTEM = lib.IO_SYSTEM
    TLS = lib.IO_TLS
    HELLO = lib.IO_HELLO


class Alert(IntEnum):
    """The alert by which a handshake is refused (RFC 8446 section 6)."""

    INTERNAL_ERROR = 80
    UNRECOGNIZED_NAME = 112
    NO_APPLICATION_PROTOCOL = 120


# The steps of a connection, see openssl.c; called directly, because every login takes a dozen of them. A negative
# result is an `Io`, -READ or -WRITE.
handshake: Callable[[Handle, bool], int] = lib.connection_handshake
read: Callable[[Handle, CData, int], int] = lib.connection_read
write: Callable[[Handle, bytes, int], int] = lib.connection_write
close_notify: Callable[[Handle], int] = lib.connection_close_notify
shutdown: Callable[[Handle], int] = lib.connection_shutdown

TRANSPORT = int(ffi.cast("uintptr_t", lib.transport_of_tls()))
"""The address of the table of steps for C outside this binding: see native/core/transport.h."""


# Names by the kind of signature. In TLS 1.3 the digest of ECDSA tells the curve of the key.
_SIGNATURES = {
    lib.EVP_PKEY_RSA: b"rsa_pkcs1_",
    lib.EVP_PKEY_RSA_PSS: b"rsa_pss_rsae_",
    lib.EVP_PKEY_DSA: b"dsa_",
    lib.EVP_PKEY_EC: b"ecdsa_",
}
_CURVES = {b"sha256": b"secp256r1_", b"sha384": b"secp384r1_", b"sha512": b"secp521r1_"}


# The read buffer of this process, so that a connection which waits holds none. It is filled and copied within one call;
# mailworker's processes have one thread.
PAGE_SIZE = 65536
PAGE = ffi.new("unsigned char[]", PAGE_SIZE)
PAGE_VIEW = ffi.buffer(PAGE)


def last_errno() -> int:
    """The errno of the last step."""
    return ffi.errno


class Connection:
    """One TLS connection, and the results of its handshake."""

    __slots__ = ("_context", "handle")

    def __init__(self, context: Context, fd: int, *, chooses: bool = False) -> None:
        """`fd` stays the caller's, which closes it after `free`; raises OpenSslError.

        With `chooses` a server's handshake stops once, with Io.HELLO, after the ClientHello: then `server_name` and
        `offers` are known, and `follow`, `use_pairs`, `bind_sessions` and `refuse` may be called.
        """
        self._context = context  # its policy must outlive the callbacks
        pointer = lib.connection_new(context.pointer, fd, chooses)
        if pointer == ffi.NULL:
            raise OpenSslError("SSL_new", take_reasons())
        self.handle: Handle = ffi.gc(pointer, lib.connection_free)

    def adopt(self, context: Context, address: int) -> None:
        """Initialise with the SSL at `address`, which belongs to `context`, in place of `__init__`.

        The SSL is this object's from the last call on, after which nothing can fail.
        """
        self._context = context
        self.handle = ffi.gc(ffi.cast("SSL *", address), lib.connection_free)

    @property
    def address(self) -> int:
        """The address of the SSL, for C outside this binding."""
        return int(ffi.cast("uintptr_t", self.handle))

    def pending(self) -> bool:
        """Whether there are bytes to be read that no poller sees, decrypted or not; they need not be a whole record."""
        return bool(lib.connection_has_input(self.handle))

    @property
    def received(self) -> int:
        """Bytes that came from the peer: the encrypted ones, with those of the handshake."""
        return int(lib.BIO_number_read(lib.SSL_get_rbio(self.handle)))

    def free(self) -> None:
        """Free the memory; nothing else may be called afterwards."""
        ffi.release(self.handle)

    @property
    def protocol(self) -> str:
        """The protocol version, as in "TLSv1.3"."""
        return _text(lib.SSL_get_version(self.handle))

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        return _text(lib.SSL_get_cipher_name(self.handle))

    @property
    def curve(self) -> bytes | None:
        """The group of the key exchange, as in "X25519", or its number if it has no name; None for no group."""
        if lib.SSL_get_session(self.handle) == ffi.NULL:  # OpenSSL would use it without a check
            return None
        nid = lib.SSL_get_negotiated_group(self.handle)
        if nid & lib.TLSEXT_nid_unknown:
            return b"0x%04x" % (nid & 0xFFFF)
        return ffi.string(lib.OBJ_nid2sn(nid)) if nid else None

    @property
    def signature_scheme(self) -> bytes | None:
        """The scheme by which our side has signed the handshake, by its name in TLS 1.3 (RFC 8446 section 4.2.3).

        None if a session was resumed, as then nothing is signed.
        """
        digest, kind = ffi.new("int *"), ffi.new("int *")
        signed = lib.SSL_get_signature_nid(self.handle, digest) and lib.SSL_get_signature_type_nid(self.handle, kind)
        if not signed or self.reused:
            return None
        hash_name = ffi.string(lib.OBJ_nid2sn(digest[0])).lower()
        name = _SIGNATURES.get(kind[0])
        if name is None:  # Ed25519 and Ed448, which have one digest each
            return ffi.string(lib.OBJ_nid2sn(kind[0])).lower()
        return name + _CURVES.get(hash_name, b"") + hash_name if kind[0] == lib.EVP_PKEY_EC else name + hash_name

    @property
    def session_id(self) -> bytes | None:
        """The session id in lower case hexadecimal digits, None if there is no session."""
        session = lib.SSL_get_session(self.handle)
        if session == ffi.NULL:
            return None
        length = ffi.new("unsigned int *")
        start = lib.SSL_SESSION_get_id(session, length)
        return bytes(ffi.buffer(start, length[0])).hex().encode()

    @property
    def alpn(self) -> bytes | None:
        """The protocol agreed on by ALPN (RFC 7301), None if the client offered none."""
        start, length = ffi.new("unsigned char const **"), ffi.new("unsigned int *")
        lib.SSL_get0_alpn_selected(self.handle, start, length)
        return bytes(ffi.buffer(start[0], length[0])) if length[0] else None

    @property
    def reused(self) -> bool:
        """Whether an earlier session was resumed."""
        return bool(lib.SSL_session_reused(self.handle))

    @property
    def verify_result(self) -> tuple[int, str]:
        """OpenSSL's code and text for the peer's chain; the code is 0 also if no certificate was sent."""
        code = lib.SSL_get_verify_result(self.handle)
        return code, _text(lib.X509_verify_cert_error_string(code))

    @property
    def peer_certificate(self) -> Certificate | None:
        """The certificate that the peer sent, or that the resumed session holds."""
        pointer = lib.SSL_get_peer_certificate(self.handle)
        return Certificate(pointer) if pointer != ffi.NULL else None

    @property
    def certificate(self) -> Certificate:
        """The server's own certificate, the one chosen for this client."""
        pointer = lib.SSL_get_certificate(self.handle)
        lib.X509_up_ref(pointer)
        return Certificate(pointer)

    @property
    def server_name(self) -> bytes | None:
        """The name that this client has sent by SNI (RFC 6066 section 3), None if it sent none.

        It is spelled as the client sent it. OpenSSL's own function would give the name of a resumed session.
        """
        name = lib.connection_name(self.handle)
        return ffi.string(name) if name else None

    @property
    def offers(self) -> tuple[bytes, ...]:
        """The protocols that the client offers by ALPN, within the first 255 bytes; known only until the choice."""
        start = ffi.new("unsigned char const **")
        length = lib.connection_offers(self.handle, start)
        listed = bytes(ffi.buffer(start[0], length))
        names = []
        while listed and len(listed) > listed[0]:
            names.append(listed[1 : 1 + listed[0]])
            listed = listed[1 + listed[0] :]
        return tuple(names)

    def follow(self, context: Context) -> None:
        """Go on in another context, as if the connection had begun there; raises OpenSslError."""
        if context is self._context:
            return
        pointer = lib.connection_follow(self.handle, context.pointer)
        if pointer == ffi.NULL:
            raise OpenSslError("SSL_new", take_reasons())
        left, self.handle = self.handle, ffi.gc(pointer, lib.connection_free)
        ffi.release(left)
        self._context = context

    def use_pairs(self, pairs: Sequence[Pair]) -> None:
        """Present one of these certificates in place of the context's; raises OpenSslError."""
        for number, pair in enumerate(pairs):
            pair.set_on(self.handle, in_place=number == 0)

    def bind_sessions(self, identity: bytes) -> None:
        """Set the session id context, at most 32 bytes: only sessions with it resume; raises OpenSslError."""
        if lib.SSL_set_session_id_context(self.handle, identity, len(identity)) != 1:
            raise OpenSslError("SSL_set_session_id_context", take_reasons())

    def refuse(self, alert: Alert) -> None:
        """Make the handshake end with a fatal alert."""
        lib.connection_refuse(self.handle, alert)

    def ask_for(self, name: bytes) -> None:
        """For clients: set the name to be sent by SNI; before the handshake."""
        checked("SSL_set_tlsext_host_name", self.handle, name)

    def resume(self, session: Session) -> None:
        """For clients: offer to resume an earlier session; before the handshake."""
        checked("SSL_set_session", self.handle, session)

    @property
    def session(self) -> Session | None:
        """The session that a client can resume later, None if there is none; in TLS 1.3 it comes with data."""
        pointer = lib.SSL_get1_session(self.handle)
        if pointer == ffi.NULL:
            return None
        session = ffi.gc(pointer, lib.SSL_SESSION_free)
        return session if lib.SSL_SESSION_is_resumable(session) else None

    def drop_session(self) -> None:
        """Remove the session from all caches, as its certificate was refused."""
        session = lib.SSL_get_session(self.handle)
        if session != ffi.NULL:
            self._context.drop_session(session)


def _text(start: CData) -> str:
    return bytes(ffi.string(start)).decode()
