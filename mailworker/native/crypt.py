"""The system's crypt(3), which hashes passwords; Python has none since 3.13."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

# Bytes of glibc's struct crypt_data, which is the largest; other libraries use less.
_DATA_SIZE: Final = 1 << 18

# libxcrypt or glibc; libxcrypt without compatibility with glibc; and a C library that has crypt itself (musl).
_LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2", None)


class Crypt:
    """The function crypt_r with one buffer, so for one call at a time.

    `available` tells whether the system has it.
    """

    __slots__ = ("_crypt_r", "_data")

    def __init__(self) -> None:
        self._crypt_r = _find()
        self._data = ctypes.create_string_buffer(0)

    @property
    def available(self) -> bool:
        return self._crypt_r is not None

    def hash(self, password: bytes, setting: bytes) -> bytes | None:
        """The hash of a password by `setting`, a hash or its beginning, both without NUL; None if that is unknown."""
        if self._crypt_r is None:
            return None
        if not len(self._data):
            self._data = ctypes.create_string_buffer(_DATA_SIZE)
        found: bytes | None = self._crypt_r(password, setting, self._data)
        return None if found is None or found.startswith(b"*") else found


def _find() -> ctypes._NamedFuncPointer | None:
    for name in _LIBRARIES:
        with suppress(OSError, AttributeError):
            function = ctypes.CDLL(name).crypt_r
            function.restype = ctypes.c_char_p
            function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
            return function
    return None


CRYPT: Final = Crypt()
