"""POP3 commands as a client sends them before it is logged in (RFC 1939, 2449, 2595, 5034)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from mailworker.wire.command_parser import LineParser, usual_words


class Pop3Verb(Enum):
    """The commands that have a meaning before login; all others are invalid."""

    USER = b"USER"
    PASS = b"PASS"
    APOP = b"APOP"
    AUTH = b"AUTH"
    CAPA = b"CAPA"
    NOOP = b"NOOP"
    QUIT = b"QUIT"
    STLS = b"STLS"


@dataclass(slots=True)
class Pop3Command:
    """One command. The argument of USER and PASS is the rest of the line, with its spaces.

    A name does not begin with a space, but a password may (RFC 1939 section 3: one space separates them).
    """

    verb: Pop3Verb
    arguments: tuple[bytes, ...] = field(default=(), repr=False)


_WITH_SPACES = frozenset({Pop3Verb.USER, Pop3Verb.PASS})

# A login by USER and PASS, or by the response of PLAIN, with the command or after a challenge.
_USUAL = re.compile(
    rb"(?:(?i:CAPA)\r\n)?"
    rb"(?:(?i:USER) ([!-~]+)\r\n(?i:PASS) ([^ \r\n][^\r\n]*)|(?i:AUTH PLAIN)(?: |\r\n)([^ \r\n]+))\r?\n"
)


def pop3_words(heard: bytes | None, words: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Name, password and response of PLAIN of a login as nearly all clients send it.

    Those that it does not have are empty. Its last line is `words`; `heard` are the lines before it, None without any.
    None if Pop3Parser has to parse them. native/wire/first_words.c implements it in C, as each login takes this time.
    """
    found = usual_words(_USUAL, heard, words)
    if found is None:
        return None
    name, password, response = found.groups(b"")
    return name, password, response


class Pop3Parser(LineParser[Pop3Command]):
    """Parser of POP3 commands."""

    __slots__ = ()

    maximum_arguments: ClassVar[int] = 3
    verbs: ClassVar = {verb.value: verb for verb in Pop3Verb}

    def _command(self, verb: Pop3Verb, text: bytes, whole: bytes) -> Pop3Command:
        if verb in _WITH_SPACES:
            name = text.lstrip(b" ")
            argument = text if verb is Pop3Verb.PASS else name
            return Pop3Command(verb, (argument,) if name else ())
        return Pop3Command(verb, self._split_arguments(text, whole))
