"""Escaping of untrusted values in a line: nginx's `escape=` of `log_format`, byte for byte."""

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
    """A form of output: the function that escapes a value, and the text for an absent one.

    A value that is all plain, see `Slot`, is not changed.
    """

    value: Callable[[bytes], bytes]
    absent: bytes


def default(value: bytes) -> bytes:
    r"""Write quote, backslash and all bytes that are not printable ASCII as \xHH."""
    if _NOT_PLAIN.search(value) is None:
        return value
    return _NOT_PLAIN.sub(lambda match: _HEX[match[0][0]], value)


def json(value: bytes) -> bytes:
    """Escape for a JSON string as nginx does: bytes from 128 on stay, so text that is not UTF-8 gives invalid JSON."""
    if _NOT_JSON.search(value) is None:
        return value
    return _NOT_JSON.sub(_json_character, value)


def valid_json(value: bytes) -> bytes:
    r"""Escape for a JSON string from which the bytes can be restored: text is UTF-8, other bytes are escaped.

    Such a byte becomes \u00XX, from \u0080 to \u00FF; no character is ever written in this way. The bytes of control
    characters are escaped likewise, and marks that turn the direction of a text, or end a line, as \uXXXX: what reads
    no JSON, as a terminal does not, must not obey them.
    """
    if _NOT_PLAIN.search(value) is None:
        return value
    return _NOT_VALID.sub(_valid_character, value.decode("utf-8", "surrogateescape")).encode()


_NOT_VALID = re.compile('["\\\\\x00-\x1f\x7f-\x9f\udc80-\udcff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]')


def _valid_character(match: re.Match[str]) -> str:
    character = match[0]
    if "\x7f" < character <= "\x9f" or character >= "\udc80":  # surrogateescape: U+DC80 to U+DCFF
        return "".join(f"\\u00{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
    short = _JSON_SHORT.get(character.encode())
    return f"\\u{ord(character):04X}" if short is None else short.decode()


def _json_character(match: re.Match[bytes]) -> bytes:
    character = match[0]
    return _JSON_SHORT.get(character) or _JSON[character[0]]


def _unchanged(value: bytes) -> bytes:
    return value


DEFAULT: Final = Escape(default, b"-")
JSON: Final = Escape(json, b"")
NONE: Final = Escape(_unchanged, b"")

ESCAPES: Final = {"default": DEFAULT, "json": JSON, "none": NONE}
"""The forms of output by the words of `escape=`."""
