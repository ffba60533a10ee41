"""Splits the bytes of a backend into replies.

nginx (ngx_mail_proxy_module.c) takes the bytes of one read as a reply. Here a reply ends with its last line, however
the network splits it, and bytes after the last reply are kept for the client.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar

from mailworker.wire.backend import ImapReply, Reply, TooLongReply

_IMAP_BYE = re.compile(rb"\* BYE\b", re.IGNORECASE)
# Data, the only lines that may contain literals: the text of a status response is not read (RFC 9051 section 9).
_IMAP_DATA = re.compile(rb"\* (?!(?:OK|NO|BAD|BYE|PREAUTH)\b)", re.IGNORECASE)
_LITERAL = re.compile(rb"\{([0-9]{1,10})\+?\}\Z")


class ReplyReader(ABC):
    """Splits the bytes of a backend into replies of at most `limit` bytes (`proxy_buffer`).

    `unread` are the bytes after the last reply. Of these, the bytes from `_line` on are the present line, with its
    literals, and those from `_scanned` on have yet to be read. `kind` is the class of the protocol's replies.
    """

    kind: ClassVar[type[Reply]] = Reply

    __slots__ = ("_limit", "_line", "_replies", "_scanned", "unread")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.unread = b""
        self._line = self._scanned = 0
        self._replies = 0

    def feed(self, data: bytes) -> None:
        """Store what was received."""
        self.unread += data

    @property
    def begun(self) -> bool:
        """Whether there has been a reply."""
        return self._replies > 0

    def renew(self) -> bool:
        """Start over for TLS; returns whether there will be no other greeting."""
        return self._replies > 0

    def skip(self, replies: int) -> None:
        """Count complete replies that were read without this reader."""
        self._replies += replies

    def next(self) -> Reply | None:
        """The next complete reply, None if more bytes are needed. Raises TooLongReply."""
        buffer = self.unread
        if not buffer:
            return None
        while (crlf := buffer.find(b"\r\n", self._scanned, self._limit)) >= 0:
            end = crlf + 2
            length = self._literal(buffer, crlf)
            if length is not None:
                if end + length >= self._limit:
                    raise TooLongReply(buffer[:end])
                if end + length > len(buffer):
                    return None
                self._scanned = end + length
                continue
            line = buffer[self._line : crlf]
            self._scanned = self._line = end
            if self._is_last(line):
                self._replies += 1
                return self.kind(self._take(end))
        if len(buffer) >= self._limit:
            raise TooLongReply(buffer[: self._limit])
        return None

    def rest(self) -> bytes:
        """Take all bytes after the last reply."""
        return self._take(len(self.unread))

    def _take(self, length: int) -> bytes:
        buffer = self.unread
        self.unread = buffer[length:]
        self._line = self._scanned = 0
        return buffer[:length]

    def _literal(self, _buffer: bytes, _crlf: int, /) -> int | None:
        """The length of the literal that is announced before this CRLF; None for the end of a line."""
        return None

    def _announced(self, buffer: bytes, crlf: int) -> int | None:
        """As `_literal`, for a line that may contain literals."""
        literal = _LITERAL.search(buffer, self._scanned, crlf) if buffer[crlf - 1 : crlf] == b"}" else None
        return None if literal is None else int(literal[1])

    @abstractmethod
    def _is_last(self, line: bytes) -> bool:
        """Whether a reply ends with `line`, which is given without CRLF."""


class ImapReplyReader(ReplyReader):
    """Reads IMAP replies: the greeting is one line; later ones end with a tagged line or a continuation request.

    `* BYE` ends a reply, too: nothing comes after it (RFC 9051 section 7.1.5). Literals belong to their lines, whatever
    they contain.
    """

    kind = ImapReply

    __slots__ = ()

    def _literal(self, buffer: bytes, crlf: int, /) -> int | None:
        is_data = self._replies and _IMAP_DATA.match(buffer, self._line)
        return self._announced(buffer, crlf) if is_data else None

    def _is_last(self, line: bytes) -> bool:
        return not (self._replies and line.startswith(b"* ") and not _IMAP_BYE.match(line))


class Pop3ReplyReader(ReplyReader):
    """Reads POP3 replies: each line is one, as a login has no multi-line replies."""

    __slots__ = ()

    def _is_last(self, line: bytes) -> bool:
        return True


class SmtpReplyReader(ReplyReader):
    """Reads SMTP replies: one ends with the first line without a hyphen after its code (RFC 5321 section 4.2.1)."""

    __slots__ = ()

    def _is_last(self, line: bytes) -> bool:
        return line[3:4] != b"-"
