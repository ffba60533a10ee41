"""X.509 certificates and revocation lists, with a certificate's properties in nginx's spelling."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.bio import opened, read_all, written
from mailworker.native.tls.queue import checked

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData

_SHA1_SIZE = 20
_DAY = 86400

# haproxy's and nginx's names for kinds of keys; OpenSSL's own differ ("rsaEncryption").
_KEY_NAMES = {lib.EVP_PKEY_RSA: b"RSA", lib.EVP_PKEY_DSA: b"DSA", lib.EVP_PKEY_EC: b"EC"}


class Certificate:
    """An X.509 certificate. Takes over the reference `pointer`."""

    __slots__ = ("pointer",)

    def __init__(self, pointer: CData) -> None:
        self.pointer = ffi.gc(pointer, lib.X509_free)

    @property
    def subject(self) -> bytes:
        """The subject's name in the form of RFC 2253."""
        name = lib.X509_get_subject_name(self.pointer)
        return written(lambda bio: lib.X509_NAME_print_ex(bio, name, 0, lib.XN_FLAG_RFC2253))

    @property
    def common_name(self) -> bytes:
        """The subject's first common name in UTF-8, empty if it has none."""
        name = lib.X509_get_subject_name(self.pointer)
        position = lib.X509_NAME_get_index_by_NID(name, lib.NID_commonName, -1)
        if position < 0:
            return b""
        text = lib.X509_NAME_ENTRY_get_data(lib.X509_NAME_get_entry(name, position))
        return written(lambda bio: lib.ASN1_STRING_print_ex(bio, text, lib.ASN1_STRFLGS_UTF8_CONVERT))

    @property
    def signature_algorithm(self) -> bytes:
        """OpenSSL's short name of the algorithm that the issuer has signed with, as in "RSA-SHA256"."""
        return ffi.string(lib.OBJ_nid2sn(lib.X509_get_signature_nid(self.pointer)))

    @property
    def key_algorithm(self) -> bytes:
        """The kind of key and its bits, as in "RSA2048" and "EC256"; only the name for kinds with one size."""
        key = lib.X509_get0_pubkey(self.pointer)
        kind = lib.EVP_PKEY_base_id(key)
        name = _KEY_NAMES.get(kind)
        return ffi.string(lib.OBJ_nid2sn(kind)) if name is None else b"%b%d" % (name, lib.EVP_PKEY_bits(key))

    @property
    def key_kind(self) -> int:
        """OpenSSL's number for the kind of key: a server presents one certificate of each kind."""
        return int(lib.EVP_PKEY_base_id(lib.X509_get0_pubkey(self.pointer)))

    @property
    def issuer(self) -> bytes:
        """The issuer's name in the form of RFC 2253."""
        name = lib.X509_get_issuer_name(self.pointer)
        return written(lambda bio: lib.X509_NAME_print_ex(bio, name, 0, lib.XN_FLAG_RFC2253))

    @property
    def serial(self) -> bytes:
        """The serial number in upper case hexadecimal digits."""
        number = lib.X509_get_serialNumber(self.pointer)
        return written(lambda bio: lib.i2a_ASN1_INTEGER(bio, number))

    @property
    def not_before(self) -> bytes:
        """The start of the validity, as in "Nov 29 07:15:52 2026 GMT"."""
        return written(lambda bio: lib.ASN1_TIME_print(bio, lib.X509_get0_notBefore(self.pointer)))

    @property
    def not_after(self) -> bytes:
        """The end of the validity, in the same form."""
        return written(lambda bio: lib.ASN1_TIME_print(bio, lib.X509_get0_notAfter(self.pointer)))

    @property
    def seconds_before(self) -> int:
        """Seconds until it becomes valid, negative after that; raises OpenSslError if it has no such time."""
        return _seconds_until(lib.X509_get0_notBefore(self.pointer))

    @property
    def seconds_left(self) -> int:
        """Seconds until it expires, negative after that; raises OpenSslError if it has no such time."""
        return _seconds_until(lib.X509_get0_notAfter(self.pointer))

    @property
    def fingerprint(self) -> bytes:
        """The SHA-1 digest of the certificate in lower case hexadecimal digits."""
        digest = ffi.new("unsigned char[]", _SHA1_SIZE)
        checked("X509_digest", self.pointer, lib.EVP_sha1(), digest, ffi.NULL)
        return bytes(ffi.buffer(digest)).hex().encode()

    @property
    def pem(self) -> bytes:
        """The certificate in PEM, with a line feed at its end."""
        return written(lambda bio: lib.PEM_write_bio_X509(bio, self.pointer))

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return written(lambda bio: lib.i2d_X509_bio(bio, self.pointer))

    @property
    def trusted_der(self) -> bytes:
        """The certificate in OpenSSL's trusted form: in DER, with its trusted and rejected uses."""
        size = lib.i2d_X509_AUX(self.pointer, ffi.NULL)
        encoded = ffi.new("unsigned char[]", max(size, 1))
        size = lib.i2d_X509_AUX(self.pointer, ffi.new("unsigned char **", encoded))
        return bytes(ffi.buffer(encoded, max(size, 0)))

    def is_for(self, name: str) -> bool:
        """Whether it was issued to `name`, a host name or an IP address (RFC 6125)."""
        if is_address(name):
            return bool(lib.X509_check_ip_asc(self.pointer, name.encode(), 0) == 1)
        host = os.fsencode(name)
        return bool(lib.X509_check_host(self.pointer, host, len(host), 0, ffi.NULL) == 1)


class RevocationList:
    """A certificate revocation list. Takes over the reference `pointer`."""

    __slots__ = ("pointer",)

    def __init__(self, pointer: CData) -> None:
        self.pointer = ffi.gc(pointer, lib.X509_CRL_free)

    @property
    def der(self) -> bytes:
        """The list in DER."""
        return written(lambda bio: lib.i2d_X509_CRL_bio(bio, self.pointer))


def _seconds_until(moment: CData) -> int:
    days, seconds = ffi.new("int *"), ffi.new("int *")
    checked("ASN1_TIME_diff", days, seconds, ffi.NULL, moment)
    return int(days[0]) * _DAY + int(seconds[0])


def is_address(name: str) -> bool:
    """Whether `name` is an IP address rather than a host name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def load_certificates(source: str) -> tuple[Certificate, ...]:
    """All certificates of a PEM file or of "data:PEM", in their order; raises OpenSslError."""
    with opened(source) as bio:
        found = read_all(bio, "PEM_read_bio_X509_AUX", "PEM_read_bio_X509")
    return tuple(Certificate(pointer) for pointer in found)


def load_revocation_lists(source: str) -> tuple[RevocationList, ...]:
    """All revocation lists of a PEM file; raises OpenSslError."""
    with opened(source) as bio:
        found = read_all(bio, "PEM_read_bio_X509_CRL")
    return tuple(RevocationList(pointer) for pointer in found)
