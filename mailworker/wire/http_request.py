"""The head of an HTTP request, for the status server (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

LIMIT: Final = 8192
"""The most bytes of a head."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION = re.compile(r"HTTP/1\.[0-9]")
_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_ADDRESS = re.compile(r"\[[0-9A-Fa-f:.]+\]|[0-9.]+")


class BadRequest(Exception):
    """The request is invalid, and is answered with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request: `path` is decoded; names of `headers` are in lower case, repeated values are joined by commas."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def host(self) -> str | None:
        """The requested host, in lower case without a port; "" if none was given, None if it is invalid."""
        name, colon, port = self.headers.get("host", "").lower().rpartition(":")
        if not colon or "]" in port:
            name, port = name + colon + port, ""
        return name if not port or (port.isascii() and port.isdigit()) else None

    @property
    def names_address(self) -> bool:
        """Whether Host is an address; a name could be that of an attacker (DNS rebinding)."""
        return self.host is not None and _ADDRESS.fullmatch(self.host) is not None

    @property
    def takes_gzip(self) -> bool:
        """Whether Accept-Encoding names gzip, and not with the weight 0 (RFC 9110 section 12.5.3)."""
        codings = (each.partition(";") for each in self.headers.get("accept-encoding", "").lower().split(","))
        return any(name.strip() == "gzip" and weight.strip().rstrip("0.") != "q=" for name, _, weight in codings)


class HttpRequestParser:
    """Parses a request that may come in pieces."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    @property
    def room(self) -> int:
        """The number of bytes that `feed` takes."""
        return LIMIT + 1 - len(self._data)

    def feed(self, data: bytes) -> HttpRequest | None:
        """The request as soon as its head is complete, else None. Raises BadRequest."""
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end >= 0 and end + 4 <= LIMIT:
            return parse(self._data[:end])
        if len(self._data) > LIMIT:
            raise BadRequest(431)
        return None


def parse(head: bytes) -> HttpRequest:
    """Parse a head, which is given without the empty line. Raises BadRequest."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not _TOKEN.fullmatch(words[0]) or not _VERSION.fullmatch(words[2]):
        raise BadRequest(400)
    method, target, _ = words
    if not target.startswith("/") or not target.isprintable():
        raise BadRequest(400)
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or not _TEXT.fullmatch(value):
            raise BadRequest(400)
        name, value = name.lower(), value.strip("\t ")
        if name == "host" and name in headers:
            raise BadRequest(400)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return HttpRequest(method, unquote(path, errors="replace"), query, headers)
