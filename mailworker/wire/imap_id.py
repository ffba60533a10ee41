"""IMAP's ID (RFC 2971), by which clients and servers identify themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from mailworker.wire.quoted import quoted, unescaped

Fields = tuple[tuple[bytes, bytes | None], ...]
"""Names and values in their order; None is NIL."""

NIL: Final = b"NIL"

_STRING = rb'"(?:[^"\\]|\\.)*"'
_PARAMETERS = re.compile(rb"(?i: *(?:NIL|\((?: *%b +(?:%b|NIL))* *\)) *)" % (_STRING, _STRING), re.DOTALL)
_PAIR = re.compile(rb'"((?:[^"\\]|\\.)*)" +(?:"((?:[^"\\]|\\.)*)"|(?i:NIL))', re.DOTALL)

# The placeholder of a literal in the text around it; it contains LF, which a line cannot.
_LITERAL: Final = b'"\n"'
_MARK: Final = b"\n"


def read(texts: Iterable[bytes], literals: Iterable[bytes] = ()) -> Fields | None:
    """The fields of a command's argument, empty for NIL; None if it is invalid.

    `texts` are the parts before, between and after `literals`.
    """
    text = _LITERAL.join(texts)
    if _PARAMETERS.fullmatch(text) is None:
        return None
    pairs = (match.groups() for match in _PAIR.finditer(text))
    rest = iter(literals)

    def value(string: bytes) -> bytes:
        return next(rest, string) if string == _MARK else unescaped(string)

    return tuple((value(name), None if string is None else value(string)) for name, string in pairs)


def write(fields: Fields) -> bytes:
    """The fields as an argument of ID; values must fit into quoted strings."""
    if not fields:
        return NIL
    words = (word for name, value in fields for word in (quoted(name), NIL if value is None else quoted(value)))
    return b"(%b)" % b" ".join(words)


def by_name(text: bytes) -> Mapping[bytes, bytes]:
    """The values except NIL in an argument that `write` has made, by their names in lower case."""
    return {name.lower(): value for name, value in read((text,)) or () if value is not None}
