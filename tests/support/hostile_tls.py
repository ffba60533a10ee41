"""A TLS client that sends what no honest one sends, as fast as OpenSSL can encrypt it."""

from __future__ import annotations

import ctypes
import ctypes.util
import socket

_TLS1_2, _TLS1_3 = 0x0303, 0x0304
_SET_MIN, _SET_MAX = 123, 124  # SSL_CTRL_SET_MIN_PROTO_VERSION and MAX
_PENDING = 10  # BIO_CTRL_PENDING


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(ctypes.util.find_library("ssl"))
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_s_mem", "BIO_new"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("SSL_CTX_ctrl", "BIO_ctrl"):
        getattr(library, name).restype = ctypes.c_long
        getattr(library, name).argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    for name in ("SSL_CTX_new", "SSL_CTX_free", "SSL_new", "SSL_free", "SSL_connect", "SSL_do_handshake", "BIO_new"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
    library.SSL_set_fd.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.SSL_set0_wbio.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.SSL_key_update.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.SSL_read.argtypes = library.SSL_write.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
    library.BIO_read.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
    return library


class HostileClient:
    """Does a handshake over a socket, which it makes blocking. Encrypted records are returned, not sent."""

    def __init__(self, connected: socket.socket, *, tls_1_3: bool = True) -> None:
        connected.setblocking(True)
        self._library = library = _load()
        self._context = library.SSL_CTX_new(library.TLS_client_method())
        version = _TLS1_3 if tls_1_3 else _TLS1_2
        for command in (_SET_MIN, _SET_MAX):
            library.SSL_CTX_ctrl(self._context, command, version, None)
        self._connection = library.SSL_new(self._context)
        library.SSL_set_fd(self._connection, connected.fileno())
        if library.SSL_connect(self._connection) != 1:
            raise ConnectionError("no handshake")
        self._sealed = library.BIO_new(library.BIO_s_mem())
        library.SSL_set0_wbio(self._connection, self._sealed)

    def read(self) -> bytes:
        """The next data of the server, b"" where there is no more."""
        page = ctypes.create_string_buffer(4096)
        length = self._library.SSL_read(self._connection, page, len(page))
        return page.raw[: max(length, 0)]

    def data(self, content: bytes) -> bytes:
        """A record of application data."""
        self._library.SSL_write(self._connection, content, len(content))
        return self._taken()

    def key_updates(self, count: int, *, requested: bool = False) -> bytes:
        """As many KeyUpdate records (RFC 8446 section 4.6.3); with `requested` each demands one in return."""
        library, connection, kind = self._library, self._connection, int(requested)
        for _ in range(count):
            if library.SSL_key_update(connection, kind) != 1 or library.SSL_do_handshake(connection) != 1:
                raise ConnectionError("no KeyUpdate")
        return self._taken()

    def _taken(self) -> bytes:
        size = self._library.BIO_ctrl(self._sealed, _PENDING, 0, None)
        page = ctypes.create_string_buffer(size)
        length = self._library.BIO_read(self._sealed, page, size)
        return page.raw[:length]

    def close(self) -> None:
        """Free OpenSSL's memory; the socket stays open."""
        self._library.SSL_free(self._connection)
        self._library.SSL_CTX_free(self._context)
