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

    A value of plain characters, see `Slot`, must not be changed.
    """

    value: Callable[[bytes], bytes]
    absent: bytes


def default(value: bytes) -> bytes:
    r"""Write quote, backslash and all bytes that are not printable ASCII as \xHH."""
    if _NOT_PLAIN.search(value) is None:
        return value
    return _NOT_PLAIN.sub(lambda match: _HEX[match[0][0]], value)


def json(value: bytes) -> bytes:
    """Escape for a JSON string as nginx does: bytes from 128 on are kept, so text that is not UTF-8 is invalid JSON."""
    if _NOT_JSON.search(value) is None:
        return value
    return _NOT_JSON.sub(_json_character, value)


def valid_json(value: bytes) -> bytes:
    r"""Escape for a valid JSON string from which the bytes can be restored.

    Bytes that are not UTF-8, and those of control characters, become \u00XX; no other character is written in this
    way. Marks that change the direction of text, or end a line, become \uXXXX. So a terminal, which does not read JSON,
    gets no control characters.
    """
    if _NOT_PLAIN.search(value) is None:
        return value
    return value.decode("utf-8", "surrogateescape").translate(_VALID).encode()


def _bytes_of(number: int) -> str:
    """The bytes of a control character, or the byte of a surrogate escape (U+DC80 to U+DCFF), escaped."""
    return "".join(f"\\u00{byte:02X}" for byte in chr(number).encode("utf-8", "surrogateescape"))


# A regular expression with a function would take twenty times as long; a client may send 8 KB of such bytes.
_VALID: Final = {
    **{number: f"\\u{number:04X}" for number in (*range(0x20), 0x7F)},
    **{character[0]: short.decode() for character, short in _JSON_SHORT.items()},
    **{number: _bytes_of(number) for number in (*range(0x80, 0xA0), *range(0xDC80, 0xDD00))},
    **{
        number: f"\\u{number:04X}" for number in (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
    },
}


def _json_character(match: re.Match[bytes]) -> bytes:
    character = match[0]
    return _JSON_SHORT.get(character) or _JSON[character[0]]


DEFAULT: Final = Escape(default, b"-")
JSON: Final = Escape(json, b"")
NONE: Final = Escape(bytes, b"")

ESCAPES: Final = {"default": DEFAULT, "json": JSON, "none": NONE}
"""The forms of output by the words of `escape=`."""
