"""How a value that somebody else chose is written into a line: the bytes of nginx's `escape=` of `log_format`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

_NOT_PLAIN = re.compile(rb'["\\\x00-\x1f\x7f-\xff]')
_NOT_JSON = re.compile(rb'["\\\x00-\x1f]')

_HEX: Final = [b"\\x%02X" % byte for byte in range(256)]
_JSON: Final = [b"\\u00%02X" % byte for byte in range(0x20)]
_JSON_SHORT: Final = {
    b'"': b'\\"',
    b"\\": b"\\\\",
    b"\n": b"\\n",
    b"\r": b"\\r",
    b"\t": b"\\t",
    b"\b": b"\\b",
    b"\f": b"\\f",
}


class Escape(NamedTuple):
    """A form of output: what becomes of a value, and what stands where there is none.

    A value stays as it is that is all plain, see `Slot`.
    """

    value: Callable[[bytes], bytes]
    absent: bytes


def default(value: bytes) -> bytes:
    r"""Quote, backslash and what is no printable ASCII as \xHH."""
    if _NOT_PLAIN.search(value) is None:
        return value
    return _NOT_PLAIN.sub(lambda match: _HEX[match[0][0]], value)


def json(value: bytes) -> bytes:
    """Fit for a string of JSON, as far as nginx goes: bytes from 128 on stay, so what is no UTF-8 is no JSON."""
    if _NOT_JSON.search(value) is None:
        return value
    return _NOT_JSON.sub(_json_character, value)


def valid_json(value: bytes) -> bytes:
    r"""Fit for a string of JSON that can be taken back to its bytes: in UTF-8, but for bytes that are none.

    Such a byte is \u00XX, from \u0080 to \u00FF, by which no character is ever written.
    """
    if _NOT_PLAIN.search(value) is None:
        return value
    return _NOT_VALID.sub(_valid_character, value.decode("utf-8", "surrogateescape")).encode()


_NOT_VALID = re.compile('["\\\\\x00-\x1f\x7f\udc80-\udcff]')


def _valid_character(match: re.Match[str]) -> str:
    number = ord(match[0]) & 0xFF  # surrogateescape: U+DC80 to U+DCFF
    short = _JSON_SHORT.get(match[0].encode()) if number < 0x7F else None
    return f"\\u00{number:02X}" if short is None else short.decode()


def _json_character(match: re.Match[bytes]) -> bytes:
    character = match[0]
    return _JSON_SHORT.get(character) or _JSON[character[0]]


def _unchanged(value: bytes) -> bytes:
    return value


DEFAULT: Final = Escape(default, b"-")
JSON: Final = Escape(json, b"")
NONE: Final = Escape(_unchanged, b"")

ESCAPES: Final = {"default": DEFAULT, "json": JSON, "none": NONE}
"""By the words of `escape=`."""
