"""Requests on the control socket: a JSON object in a line, of which every key is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

LIMIT: Final = 4096
"""Bytes of the longest line, its end included."""

VERSION: Final = 1
"""Of the protocol: another one where a program that speaks this one would go wrong."""

LONGEST_TEXT: Final = 256
"""Characters of a text at most."""

_COMMAND: Final = "cmd"

Read = Callable[[Any], Any]
"""Gives what the value of a key means. Raises BadControlRequest."""


class BadControlRequest(Exception):
    """The text is for whoever has asked."""


class ControlLines:
    """Cuts what comes into lines."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    @property
    def room(self) -> int:
        """How many bytes it takes."""
        return LIMIT - len(self._data)

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._data += data

    def next(self) -> bytes | None:
        """The next line without its end, None where more is needed. Raises BadControlRequest for one too long."""
        line, end, rest = self._data.partition(b"\n")
        if end:
            self._data = rest
            return line
        if self.room <= 0:
            raise BadControlRequest(f"a request has at most {LIMIT} bytes")
        return None

    def rest(self) -> bytes:
        """What came last, where nothing more will come: its line needs no end."""
        data, self._data = self._data, b""
        return data


def parse(line: bytes) -> tuple[str, dict[str, Any]]:
    """The command of a line, and its other keys. Raises BadControlRequest."""
    try:
        request = json.loads(line.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise BadControlRequest("a request is no JSON: it is nested too deeply") from None
    except ValueError as error:
        raise BadControlRequest(f"a request is no JSON: {str(error)[:100]}") from None
    if not isinstance(request, dict):
        raise BadControlRequest("a request is a JSON object")
    command = request.pop(_COMMAND, None)
    if not isinstance(command, str):
        raise BadControlRequest(f'a request names its command by "{_COMMAND}"')
    return command, request


def take(request: Mapping[str, Any], keys: Mapping[str, Read]) -> dict[str, Any]:
    """What the keys of a request mean. Raises BadControlRequest, also for keys that the command does not know."""
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
        raise BadControlRequest("a key is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise BadControlRequest(f"{name} is no JSON")


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise BadControlRequest("is true or false")
    return value


def text(value: Any) -> str:
    """A text, not empty, of one line."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_TEXT or not value.isprintable():
        raise BadControlRequest(f"is a text of 1 to {LONGEST_TEXT} characters that can be printed")
    return value


def whole(least: int, most: int) -> Read:
    """A whole number within these bounds."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise BadControlRequest(f"is a whole number from {least} to {most}")
        return value

    return read


def one_of(words: Mapping[str, Any]) -> Read:
    """What one of these words stands for."""

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            raise BadControlRequest(f"is one of {', '.join(words)}")
        return words[value]

    return read


def network(value: Any) -> IPv4Network | IPv6Network | str:
    """An address, a block of them, or "unix:". Bits of a host do not matter."""
    if value == "unix:":
        return "unix:"
    try:
        return ip_network(text(value), strict=False)
    except ValueError:
        raise BadControlRequest('is an address, a block of addresses, or "unix:"') from None


class Mask:
    """A text in which `*` is anything and `?` is one character; capitals do not matter."""

    __slots__ = ("_match", "_text")

    def __init__(self, value: str) -> None:
        self._text = value
        parts = [re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", value)]
        first, *others = parts
        # What is found first for a part in the middle is right for it, so that no way is tried twice (as fnmatch does).
        middle = (f"(?=(?P<m{number}>.*?{part}))(?P=m{number})" for number, part in enumerate(others[:-1]))
        pattern = first + "".join(middle) + "".join(f".*{last}" for last in others[-1:])
        self._match = re.compile(rf"(?:{pattern})\Z", re.DOTALL | re.IGNORECASE).match

    def __str__(self) -> str:
        return self._text

    @property
    def is_name(self) -> bool:
        """Whether it stands for one name alone."""
        return "*" not in self._text and "?" not in self._text

    def fits(self, name: str) -> bool:
        """Whether it stands for that name."""
        return self._match(name) is not None


def mask(value: Any) -> Mask:
    """A Mask."""
    return Mask(text(value))
