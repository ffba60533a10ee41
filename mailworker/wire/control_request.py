"""Requests on the control socket: one JSON object in each line, without unknown keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

LIMIT: Final = 4096
"""The most bytes of a line, with its end."""

VERSION: Final = 1
"""The protocol's version, which changes if clients of the current version would no longer work."""

LONGEST_TEXT: Final = 256
"""The most characters of a text."""

_COMMAND: Final = "cmd"

# The bits before the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
_MAPPED: Final = 96

Read = Callable[[Any], Any]
"""Converts the value of a key. Raises BadControlRequest."""


class BadControlRequest(Exception):
    """The request is invalid; the text is the reply to its sender."""


class ControlLines:
    """Splits the received bytes into lines."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    @property
    def room(self) -> int:
        """The number of bytes that `feed` takes."""
        return LIMIT - len(self._data)

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        self._data += data

    def next(self) -> bytes | None:
        """The next line without its end, None if more bytes are needed. Raises BadControlRequest if it is too long."""
        line, end, rest = self._data.partition(b"\n")
        if end:
            self._data = rest
            return line
        if self.room <= 0:
            raise BadControlRequest(f"a request has at most {LIMIT} bytes")
        return None

    def rest(self) -> bytes:
        """The last bytes at the end of input: the last line needs no line end."""
        data, self._data = self._data, b""
        return data


def parse(line: bytes) -> tuple[str, dict[str, Any]]:
    """The command of a line, and its other keys. Raises BadControlRequest."""
    try:
        request = json.loads(line.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise BadControlRequest("a request is not valid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise BadControlRequest(f"a request is not valid JSON: {str(error)[:100]}") from None
    if not isinstance(request, dict):
        raise BadControlRequest("a request is a JSON object")
    command = request.pop(_COMMAND, None)
    if not isinstance(command, str):
        raise BadControlRequest(f'a request names its command by "{_COMMAND}"')
    return command, request


def take(request: Mapping[str, Any], keys: Mapping[str, Read]) -> dict[str, Any]:
    """The converted values of a request's keys. Raises BadControlRequest, also for unknown keys."""
    found = {}
    for key, value in request.items():
        if key not in keys:
            raise BadControlRequest(f'unknown key "{key[:40]}"')
        try:
            found[key] = keys[key](value)
        except BadControlRequest as error:
            raise BadControlRequest(f'"{key}" {error}') from None
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadControlRequest("a key is repeated")
    return found


def _no_constant(name: str) -> Any:
    raise BadControlRequest(f"{name} is not valid JSON")


def flag(value: Any) -> bool:
    """A boolean: true or false."""
    if not isinstance(value, bool):
        raise BadControlRequest("must be true or false")
    return value


def text(value: Any) -> str:
    """A text of one line, not empty."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_TEXT or not value.isprintable():
        raise BadControlRequest(f"must be a text of 1 to {LONGEST_TEXT} printable characters")
    return value


def whole(least: int, most: int) -> Read:
    """A whole number within these bounds."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise BadControlRequest(f"must be a whole number from {least} to {most}")
        return value

    return read


def one_of(words: Mapping[str, Any]) -> Read:
    """One of these words, converted to its value."""

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            raise BadControlRequest(f"must be one of {', '.join(words)}")
        return words[value]

    return read


def network(value: Any) -> IPv4Network | IPv6Network | str:
    """An address, a network, or "unix:". Host bits are ignored; IPv4-mapped IPv6 addresses become IPv4 addresses."""
    if value == "unix:":
        return "unix:"
    try:
        found = ip_network(text(value), strict=False)
    except ValueError:
        raise BadControlRequest('must be an address, a network, or "unix:"') from None
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is None or found.prefixlen < _MAPPED:
        return found
    return IPv4Network((mapped, found.prefixlen - _MAPPED))


class Mask:
    """A pattern in which `*` matches any text and `?` one character; it ignores case."""

    __slots__ = ("_match", "_text")

    def __init__(self, value: str) -> None:
        self._text = value
        parts = [re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", value)]
        first, *others = parts
        # The first match of a part in the middle is sufficient, so there is no backtracking, as in fnmatch.
        middle = (f"(?=(?P<m{number}>.*?{part}))(?P=m{number})" for number, part in enumerate(others[:-1]))
        pattern = first + "".join(middle) + "".join(f".*{last}" for last in others[-1:])
        self._match = re.compile(rf"(?:{pattern})\Z", re.DOTALL | re.IGNORECASE).match

    def __str__(self) -> str:
        return self._text

    @property
    def is_name(self) -> bool:
        """Whether it matches only one name."""
        return "*" not in self._text and "?" not in self._text

    def fits(self, name: str) -> bool:
        """Whether it matches that name."""
        return self._match(name) is not None


def mask(value: Any) -> Mask:
    """A Mask."""
    return Mask(text(value))
