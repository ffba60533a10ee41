"""Apache's variant of MD5-CRYPT, which no crypt(3) knows (apr_md5_encode in APR's crypto/apr_md5.c)."""

from __future__ import annotations

from hashlib import md5
from typing import Final

_MAGIC: Final = b"$apr1$"
_ROUNDS: Final = 1000
_ALPHABET: Final = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# The bytes of the digest that each group of four characters encodes.
_GROUPS: Final = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def apr1(password: bytes, setting: bytes) -> bytes:
    """The hash of a password; `setting` is a hash or its beginning: "$apr1$", up to eight bytes of salt, and "$"."""
    salt = setting.removeprefix(_MAGIC).partition(b"$")[0][:8]
    digest = _first_digest(password, salt)
    for number in range(_ROUNDS):
        odd = number & 1
        parts = (
            password if odd else digest,
            salt if number % 3 else b"",
            password if number % 7 else b"",
            digest if odd else password,
        )
        digest = md5(b"".join(parts), usedforsecurity=False).digest()
    return _MAGIC + salt + b"$" + _encode(digest)


def _first_digest(password: bytes, salt: bytes) -> bytes:
    length = len(password)
    inner = md5(password + salt + password, usedforsecurity=False).digest()
    text = bytearray(password + _MAGIC + salt)
    text += (inner * (length // 16 + 1))[:length]
    while length:
        text += b"\0" if length & 1 else password[:1]
        length >>= 1
    return md5(text, usedforsecurity=False).digest()


def _encode(digest: bytes) -> bytes:
    numbers = [(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _GROUPS]
    numbers.append((digest[11], 2))
    return bytes(_ALPHABET[number >> 6 * place & 63] for number, count in numbers for place in range(count))
