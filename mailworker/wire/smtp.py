"""SMTP commands as a client sends them before its mail is relayed (RFC 5321, 3207, 4954)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from mailworker.wire.command_parser import CommandParser


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
    """One command; `line` is its text as sent, from the verb to the last argument, `end` what stands behind it."""

    verb: SmtpVerb
    arguments: tuple[bytes, ...] = field(repr=False)
    line: bytes = field(repr=False)
    end: bytes = field(default=b"\r\n", repr=False, compare=False)

    @property
    def has_control(self) -> bool:
        """Whether the line holds control bytes, which HELO, EHLO, MAIL and RCPT must not pass on to anyone."""
        return _CONTROL.search(self.line) is not None


# RFC 5321 has none in commands.
_CONTROL = re.compile(rb"[\0-\x1f\x7f]")

_VERBS = {verb.value: verb for verb in SmtpVerb}


class SmtpParser(CommandParser):
    """Parser of SMTP commands."""

    __slots__ = ()

    maximum_arguments: ClassVar[int] = 11

    def next(self) -> SmtpCommand | None:
        """The next command; None while it is incomplete. Raises InvalidCommand and TooLongCommand."""
        line = self._verb_line(_VERBS)
        if line is None:
            return None
        verb, text, whole = line
        command = whole.rstrip(b" \r\n")
        return SmtpCommand(verb, self._split_arguments(text), command, whole[len(command) :])
