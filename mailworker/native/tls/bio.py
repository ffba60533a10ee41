"""OpenSSL's byte streams (BIO), from which PEM is read and to which texts are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from mailworker.native.tls._native import ffi, lib
from mailworker.native.tls.queue import OpenSslError, checked, take_reasons

if TYPE_CHECKING:
    from mailworker.native.tls._native import CData

DATA = "data:"


class Writer(Protocol):
    """A function that writes to a BIO; its result is 0 or less if it fails."""

    def __call__(self, bio: CData, /) -> int: ...


@contextmanager
def opened(source: str) -> Iterator[CData]:
    """A BIO over a file, or over the text after "data:"; raises OpenSslError."""
    if source.startswith(DATA):
        content = os.fsencode(source[len(DATA) :])  # must live while the BIO points to it
        bio = checked("BIO_new_mem_buf", content, len(content))
    else:
        bio = checked("BIO_new_file", os.fsencode(source), b"r")
    try:
        yield bio
    finally:
        lib.BIO_free(bio)


def read_all(bio: CData, *calls: str) -> list[Any]:
    """Every PEM object of a kind in `bio`: the first is read by the first of `calls`, the others by the last.

    Raises OpenSslError if there is none, or if one is broken.
    """
    objects = [checked(calls[0], bio, ffi.NULL, ffi.NULL, ffi.NULL)]
    while True:
        lib.ERR_clear_error()
        another = getattr(lib, calls[-1])(bio, ffi.NULL, ffi.NULL, ffi.NULL)
        if another != ffi.NULL:
            objects.append(another)
            continue
        last = lib.ERR_peek_last_error()
        reasons = take_reasons()
        if (lib.ERR_GET_LIB(last), lib.ERR_GET_REASON(last)) == (lib.ERR_LIB_PEM, lib.PEM_R_NO_START_LINE):
            return objects
        raise OpenSslError(calls[-1], reasons)


def written(write: Writer) -> bytes:
    """The bytes that `write` writes to a BIO."""
    bio = checked("BIO_new", lib.BIO_s_mem())
    try:
        write(bio)
        start = ffi.new("char **")
        length = lib.BIO_get_mem_data(bio, start)
        return bytes(ffi.buffer(start[0], length))
    finally:
        lib.BIO_free(bio)
