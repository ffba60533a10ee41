"""A certificate with its key, for connections of any context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mailworker.native.tls._native import ffi, lib
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

    __slots__ = ("_chain", "_stack", "key", "leaf")

    def __init__(self, leaf: Certificate, key: Key, chain: Sequence[Certificate]) -> None:
        """The key must be that of the leaf: connections accept no other. Raises OpenSslError."""
        self.leaf = leaf
        self.key = key
        self._chain = chain  # C points to its certificates
        self._stack: CData = ffi.gc(checked("sk_X509_new_null"), lib.sk_X509_free) if chain else ffi.NULL
        for certificate in chain:
            checked("sk_X509_push", self._stack, certificate.pointer)

    def set_on(self, connection: CData, *, in_place: bool) -> None:
        """Present it on an SSL, `in_place` of those that this has; raises OpenSslError."""
        if in_place:
            lib.SSL_certs_clear(connection)
        checked("SSL_use_cert_and_key", connection, self.leaf.pointer, self.key.pointer, self._stack, 1)

    def check_for(self, context: Context) -> None:
        """Raises OpenSslError if connections of `context` refuse the pair, for example by its security level."""
        self.set_on(ffi.gc(checked("SSL_new", context.pointer), lib.SSL_free), in_place=True)


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
    found = lib.X509_get_ext_d2i(certificate.pointer, lib.NID_subject_alt_name, ffi.NULL, ffi.NULL)
    names = ffi.gc(ffi.cast("GENERAL_NAMES *", found), lib.GENERAL_NAMES_free)
    kind, texts = ffi.new("int *"), []
    for number in range(lib.sk_GENERAL_NAME_num(names)):  # -1 if there is no such extension
        value = lib.GENERAL_NAME_get0_value(lib.sk_GENERAL_NAME_value(names, number), kind)
        if kind[0] == lib.GEN_DNS:
            text = ffi.cast("ASN1_STRING *", value)
            texts.append(bytes(ffi.buffer(lib.ASN1_STRING_get0_data(text), lib.ASN1_STRING_length(text))))
    return texts
