"""A certificate with its key, for connections of any context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.bio import written
from mailworker.native.tls.certificate import Certificate
from mailworker.native.tls.context import Context
from mailworker.native.tls.key import Key
from mailworker.native.tls.queue import OpenSslError, checked, take_reasons

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData

KEY_FORMS: Final = {b"PRIVATE KEY": lib.KEY_PKCS8, b"RSA PRIVATE KEY": lib.KEY_RSA, b"EC PRIVATE KEY": lib.KEY_EC}
"""The PEM labels of private keys without a password."""


class Pair:
    """A certificate, its key, and the intermediates that are sent after it.

    Certificates of the chain may be shared by many pairs.
    """

    __slots__ = ("_chain", "key", "leaf", "native")

    def __init__(self, leaf: Certificate, key: Key, chain: Sequence[Certificate]) -> None:
        """The key must be that of the leaf: connections accept no other. Raises OpenSslError."""
        self.leaf = leaf
        self.key = key
        self._chain: CData = ffi.NULL
        if chain:
            self._chain = ffi.gc(checked("chain_new"), lib.chain_free)
        for certificate in chain:
            if not lib.chain_add(self._chain, certificate.pointer):
                raise OpenSslError("sk_X509_push", take_reasons())
        self.native: CData = ffi.new("struct pair *", (leaf.pointer, key.pointer, self._chain))

    def check_for(self, context: Context) -> None:
        """Raises OpenSslError where connections of `context` refuse the pair, for example by its security level."""
        if not lib.context_takes_pair(context.pointer, self.native):
            raise OpenSslError("SSL_use_cert_and_key", take_reasons())


def certificate_from(der: bytes) -> Certificate:
    """A certificate in DER; raises OpenSslError."""
    lib.ERR_clear_error()
    pointer = lib.pair_certificate(der, len(der))
    if pointer == ffi.NULL:
        raise OpenSslError("d2i_X509", take_reasons())
    return Certificate(pointer)


def key_from(label: bytes, der: bytes) -> Key:
    """A private key in DER, of a kind among KEY_FORMS; raises OpenSslError."""
    lib.ERR_clear_error()
    pointer = lib.pair_key(KEY_FORMS[label], der, len(der))
    if pointer == ffi.NULL:
        raise OpenSslError("d2i_PrivateKey", take_reasons())
    return Key(pointer)


def matches(certificate: Certificate, key: Key) -> bool:
    """Whether `key` is the private key of `certificate`."""
    matching = bool(lib.X509_check_private_key(certificate.pointer, key.pointer) == 1)
    lib.ERR_clear_error()
    return matching


def other_names(certificate: Certificate) -> list[bytes]:
    """The host names among the subject alternative names, unchanged."""
    return written(lambda bio: lib.certificate_names(bio, certificate.pointer)).split(b"\n")[:-1]
