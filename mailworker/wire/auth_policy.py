"""Dovecot's auth policy protocol, also that of weakforced: questions and reports are JSON in HTTP requests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from mailworker.errors import Party, ProtocolError

LIMIT: Final = 8192
"""The most bytes of a response's head, and of its body."""

_TRUNCATED: Final = 12  # bits of a hash, as in Dovecot: they do not tell the password, but repetitions

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([0-9]) ([0-9]{3})(?: .*)?")
_LENGTH: Final = re.compile(rb"[0-9]{1,5}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,4})(?:;[^\r\n]*)?\r\n")


class Decision(NamedTuple):
    """A decision: `status` is -1 for no, 0 for yes, or the seconds of a delay; `text` is the reason."""

    status: int
    text: str = ""


def hashed(nonce: bytes, login: bytes, password: bytes) -> str:
    """The hash of a password for the service: its first 12 bits, in Dovecot's notation."""
    digest = hashlib.sha256(nonce + login + b"\0" + password).digest()
    return f"{int.from_bytes(digest[:2], 'big') >> (16 - _TRUNCATED):04x}"


class PolicyTemplate:
    """Makes requests; `uri`, `host` and `headers` are those of AuthPolicySettings."""

    __slots__ = ("_head", "_tail")

    def __init__(self, uri: bytes, host: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        mark = b"" if uri.endswith((b"?", b"&")) else b"&" if b"?" in uri else b"?"
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self._head = b"POST %b%bcommand=" % (uri, mark)
        self._tail = b" HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n%bContent-Length: " % (host, lines)

    def request(self, command: str, fields: Mapping[str, object]) -> bytes:
        """The whole request."""
        body = json.dumps(fields).encode()
        return b"%b%b%b%d\r\n\r\n%b" % (self._head, command.encode(), self._tail, len(body), body)


class PolicyReader:
    """Reads one response. After it, `reusable` tells whether its connection can be used for another request."""

    __slots__ = ("_body", "_chunked", "_data", "_ended", "_in_body", "_length", "reusable")

    def __init__(self) -> None:
        self._body = b""
        self._chunked = False
        self._data = b""
        self._ended = False
        self._in_body = False
        self._length: int | None = None  # None: the body ends with the connection
        self.reusable = False

    def feed(self, data: bytes) -> None:
        """Take more bytes of the response; b"" is the end of the connection."""
        self._data += data
        self._ended = self._ended or not data

    def next(self) -> Decision | None:
        """The decision, None if more bytes are needed. Raises ProtocolError for an invalid response."""
        body = self._read_body() if self._in_body or self._read_head() else None
        if body is None:
            if self._ended:
                raise _error("sent no whole response")
            return None
        self.reusable = self.reusable and not self._data
        return _decision(body)

    def _read_head(self) -> bool:
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if len(head) > LIMIT:
            raise _error("sent too long a head")
        if not found:
            return False
        first, *lines = head.split(b"\r\n")
        match = _STATUS_LINE.fullmatch(first)
        if match is None:
            raise _error("sent no HTTP response")
        if match[2] != b"200":
            raise _error(f"sent HTTP status {match[2].decode()}")
        headers = _joined(lines)
        coding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
        self._chunked = coding is not None
        if coding is not None and coding.lower() != b"chunked":
            raise _error("sent an unknown Transfer-Encoding")
        if length is not None and not self._chunked:
            if not _LENGTH.fullmatch(length) or int(length) > LIMIT:
                raise _error("sent an invalid or too large Content-Length")
            self._length = int(length)
        closes = b"close" in [option.strip() for option in headers.get(b"connection", b"").lower().split(b",")]
        # With both headers, a proxy on the way may have used the other one (RFC 9112 section 6.3).
        self.reusable = match[1] != b"0" and not closes and self._chunked is (length is None)
        self._data, self._in_body = rest, True
        return True

    def _read_body(self) -> bytes | None:
        return self._read_chunks() if self._chunked else self._read_plain()

    def _read_plain(self) -> bytes | None:
        length = len(self._data) if self._ended and self._length is None else self._length
        if len(self._data) > LIMIT:
            raise _error("sent too long a body")
        if length is None or len(self._data) < length:
            return None
        body, self._data = self._data[:length], self._data[length:]
        return body

    def _read_chunks(self) -> bytes | None:
        while (match := _CHUNK.match(self._data)) is not None:
            size, start = int(match[1], 16), match.end()
            if len(self._body) + size > LIMIT:
                raise _error("sent too long a body")
            if len(self._data) < start + size + 2:
                return None
            part, self._data = self._data[start : start + size + 2], self._data[start + size + 2 :]
            if not part.endswith(b"\r\n"):
                if size:
                    raise _error("sent broken chunks")
                self.reusable = False  # the beginning of a trailer
            if not size:
                return self._body
            self._body += part[:-2]
        if len(self._data) > LIMIT or b"\n" in self._data:
            raise _error("sent broken chunks")
        return None


def _joined(lines: list[bytes]) -> dict[bytes, bytes]:
    """The headers by their names in lower case; values of a repeated one form a list (RFC 9110 section 5.3)."""
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        headers[name] = headers[name] + b"," + value if name in headers else value
    return headers


def _decision(body: bytes) -> Decision:
    """The decision in a body; weakforced's answer to a report is {"status": "ok"}."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _error("sent invalid JSON") from error
    status = found.get("status") if isinstance(found, dict) else None
    if status == "ok":
        return Decision(0)
    if not isinstance(status, int) or isinstance(status, bool):
        raise _error('sent no number as "status"')
    text = found.get("msg")
    return Decision(max(-1, status), text if isinstance(text, str) else "")


def _error(text: str) -> ProtocolError:
    return ProtocolError(Party.AUTH_SERVICE, text)
