"""SMTP commands as a client sends them before its mail is relayed (RFC 5321, 3207, 4954)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, NoReturn

from mailworker.wire.command import InvalidCommand
from mailworker.wire.command_parser import LineParser, usual_words
from mailworker.wire.confidential import described


class SmtpVerb(Enum):
    """The commands that nginx knows; all others are invalid."""

    HELO = b"HELO"
    EHLO = b"EHLO"
    AUTH = b"AUTH"
    MAIL = b"MAIL"
    RCPT = b"RCPT"
    RSET = b"RSET"
    NOOP = b"NOOP"
    QUIT = b"QUIT"
    HELP = b"HELP"
    VRFY = b"VRFY"
    EXPN = b"EXPN"
    STARTTLS = b"STARTTLS"


@dataclass(slots=True)
class SmtpCommand:
    """One command; `line` is its text as sent, from the verb to the last argument, `end` the bytes after that."""

    verb: SmtpVerb
    arguments: tuple[bytes, ...] = field(repr=False)
    line: bytes = field(repr=False)
    end: bytes = field(default=b"\r\n", repr=False, compare=False)

    @property
    def has_control(self) -> bool:
        """Whether the line contains control bytes, which must not be passed on in HELO, EHLO, MAIL and RCPT."""
        return _CONTROL.search(self.line) is not None


# RFC 5321 allows none in commands.
_CONTROL = re.compile(rb"[\0-\x1f\x7f]")

# The only SMTP command that is followed by octets without a go-ahead (RFC 3030 section 2), and its valid form.
_CHUNK = re.compile(rb"[ \t]*BDAT(?![A-Za-z])", re.IGNORECASE)
_COUNTED_CHUNK = re.compile(rb"BDAT +([0-9]{1,19})(?: +LAST)? *\r?\n", re.IGNORECASE)

# EHLO, and a login by the response of PLAIN, with the command or after a challenge, or by those of LOGIN.
_USUAL = re.compile(
    rb"(?i:EHLO) ([!-~]+)\r\n"
    rb"(?i:AUTH) (?:(?i:PLAIN)(?: |\r\n)([^ \r\n]+)|(?i:LOGIN)\r\n([^ \r\n]+)\r\n([^ \r\n]+))\r?\n"
)


def smtp_words(heard: bytes | None, words: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """The name in EHLO, the response of PLAIN and both of LOGIN, of a login as nearly all clients send it.

    Those that it does not have are empty. Its last line is `words`; `heard` are the lines before it, None without any.
    None if SmtpParser has to parse them. native/wire/first_words.c implements it in C, as each login takes this time.
    """
    found = usual_words(_USUAL, heard, words)
    if found is None:
        return None
    helo, response, name, password = found.groups(b"")
    return helo, response, name, password


class SmtpParser(LineParser[SmtpCommand]):
    """Parser of SMTP commands.

    BDAT is invalid, and its octets are no commands: they are dropped unread, at most `limit` of them. If there are
    more, or their number is unknown, the connection has to be closed.
    """

    __slots__ = ("_limit", "_octets")

    maximum_arguments: ClassVar[int] = 11
    verbs: ClassVar = {verb.value: verb for verb in SmtpVerb}

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._limit = limit
        self._octets = 0  # octets of a chunk that have yet to come

    def next(self) -> SmtpCommand | None:
        if self._octets:
            self._octets = self._buffer.swallow(self._octets)
        return super().next()

    def whole(self, words: bytes) -> SmtpCommand | None:
        return None if self._octets else super().whole(words)

    def _command(self, verb: SmtpVerb, text: bytes, whole: bytes) -> SmtpCommand:
        command = whole.rstrip(b" \r\n")
        return SmtpCommand(verb, self._split_arguments(text, whole), command, whole[len(command) :])

    def discard(self) -> None:
        super().discard()
        self._octets = 0

    def _refuse_line(self, line: bytes) -> NoReturn:
        if _CHUNK.match(line):
            chunk = _COUNTED_CHUNK.fullmatch(line)
            if chunk is None or int(chunk[1]) > self._limit:
                raise InvalidCommand(close=True, what=described(line))
            self._octets = int(chunk[1])
        raise InvalidCommand(what=described(line))
