"""Private keys from PEM, an engine, or a provider's store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mailworker.errors import MailworkerError
from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.bio import opened
from mailworker.native.tls.queue import OpenSslError, checked, take_reasons

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData


class NotSupported(MailworkerError):
    """The OpenSSL that mailworker was built with lacks a feature."""


class Key:
    """A private key. Takes over the reference `pointer`."""

    __slots__ = ("pointer",)

    def __init__(self, pointer: CData) -> None:
        self.pointer = ffi.gc(pointer, lib.EVP_PKEY_free)


@contextmanager
def _c_string(password: bytes | None) -> Iterator[CData]:
    """`password` for OpenSSL's default password callback; NULL makes it ask at the terminal, as in nginx."""
    if password is None:
        yield ffi.NULL
        return
    text = ffi.new("char[]", password)
    try:
        yield text
    finally:
        lib.OPENSSL_cleanse(text, ffi.sizeof(text))


def load_key(source: str, passwords: Sequence[bytes] | None) -> Key:
    """The key of a PEM file or of "data:PEM"; `passwords` are tried in turn, None asks at the terminal.

    Raises OpenSslError, with the reasons for the last password.
    """
    with opened(source) as bio:
        for password in passwords or (None,):
            lib.ERR_clear_error()
            with _c_string(password) as text:
                pointer = lib.PEM_read_bio_PrivateKey(bio, ffi.NULL, ffi.NULL, text)
            if pointer != ffi.NULL:
                return Key(pointer)
            reasons = take_reasons()
            lib.BIO_reset(bio)
    raise OpenSslError("PEM_read_bio_PrivateKey", reasons)


def engine_key(engine: str, key: str) -> Key:
    """The key that an engine knows by the name `key`; raises OpenSslError, or NotSupported without engines."""
    if not lib.ENGINES:
        raise NotSupported("this OpenSSL has no engines")
    found = ffi.gc(checked("ENGINE_by_id", os.fsencode(engine)), lib.ENGINE_free)
    checked("ENGINE_init", found)
    try:
        return Key(checked("ENGINE_load_private_key", found, os.fsencode(key), ffi.NULL, ffi.NULL))
    finally:
        lib.ENGINE_finish(found)


def store_key(uri: str, passwords: Sequence[bytes] | None) -> Key:
    """The first key that is found under a URI of OpenSSL's stores; raises OpenSslError."""
    for password in passwords or (None,):
        try:
            with _c_string(password) as text:
                return _store_key(uri, text)
        except OpenSslError as error:
            failure = error
    raise failure


def _store_key(uri: str, password: CData) -> Key:
    method = ffi.gc(checked("UI_UTIL_wrap_read_pem_callback", ffi.NULL, 0), lib.UI_destroy_method)
    store = checked("OSSL_STORE_open", os.fsencode(uri), method, password, ffi.NULL, ffi.NULL)
    pointer = ffi.NULL
    while pointer == ffi.NULL and not lib.OSSL_STORE_eof(store):
        info = lib.OSSL_STORE_load(store)
        if info != ffi.NULL and lib.OSSL_STORE_INFO_get_type(info) == lib.OSSL_STORE_INFO_PKEY:
            pointer = lib.OSSL_STORE_INFO_get1_PKEY(info)
        lib.OSSL_STORE_INFO_free(info)
    reasons = take_reasons()
    lib.OSSL_STORE_close(store)
    if pointer == ffi.NULL:
        raise OpenSslError("OSSL_STORE_load", reasons)
    return Key(pointer)
