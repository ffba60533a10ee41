"""IMAP commands as a client sends them before it is logged in (RFC 9051, 7888), read as nginx reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from mailworker.wire.command import InvalidCommand, TooLongCommand
from mailworker.wire.command_parser import CommandParser, strip_newline


class ImapVerb(Enum):
    """The commands that have a meaning before login; all others are invalid."""

    AUTHENTICATE = b"AUTHENTICATE"
    CAPABILITY = b"CAPABILITY"
    LOGIN = b"LOGIN"
    LOGOUT = b"LOGOUT"
    NOOP = b"NOOP"
    STARTTLS = b"STARTTLS"


@dataclass(slots=True)
class ImapCommand:
    """One command, its quoted strings and literals decoded."""

    tag: bytes
    verb: ImapVerb
    arguments: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(slots=True)
class Continuation:
    """The client waits for "+ OK" before it sends the bytes of a literal."""


_VERBS = {verb.value: verb for verb in ImapVerb}

# nginx: the tag is 1 to 32 of these bytes and one space; more spaces may follow before the verb.
_COMMAND = re.compile(rb"([A-Za-z0-9._-]{1,32}) +([A-Za-z]+)(?: ([^\r\n]*))?\r?\n")
_TAG = re.compile(rb"([A-Za-z0-9._-]{0,32}) ")

# RFC 9051, 9: string = quoted / literal. nginx is wider: the end of the line also ends a quoted string, "\" hides any
# byte but CR and LF, a literal's length may be empty (0), and an atom is whatever starts neither of the two.
# Ten digits or more fit no buffer.
_ARGUMENT = re.compile(
    rb' *(?:"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)(?:"|\Z)'
    rb"|\{0*(?P<length>[0-9]{0,9})(?P<plus>\+?)\}\Z"
    rb'|(?P<atom>[^ "{][^ ]*)'
    rb"|\Z)",
    re.DOTALL,
)
# The usual LOGIN: a subset of the above read in one go, because every login pays for it.
_LOGIN = re.compile(rb'([A-Za-z0-9._-]{1,32}) +(?i:LOGIN) ("?)([^ "\\{\r\n]+)\2 +("?)([^ "\\{\r\n]+)\4\r?\n')
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class _Draft:
    """A command whose arguments are still being read; `literal` is how many bytes of one are due, None if none."""

    __slots__ = ("arguments", "literal", "tag", "verb")

    def __init__(self, tag: bytes, verb: ImapVerb) -> None:
        self.tag = tag
        self.verb = verb
        self.arguments: list[bytes] = []
        self.literal: int | None = None


class ImapParser(CommandParser):
    """Parser of IMAP commands."""

    __slots__ = ("_draft",)

    maximum_arguments: ClassVar[int] = 3

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._draft: _Draft | None = None

    def next(self) -> ImapCommand | Continuation | None:
        """The next command, or Continuation; None while more input is needed.

        Raises InvalidCommand, also at once for a literal that cannot fit the buffer, and TooLongCommand.
        """
        while True:
            draft = self._draft
            if draft is not None and not self._take_literal(draft):
                return None
            line = self._buffer.line()
            if line is None:
                if self._buffer.room:
                    return None
                raise self._too_long()
            event = self._start(line) if draft is None else self._resume(draft, line)
            if event is not None:
                return event

    def discard(self) -> None:
        super().discard()
        self._draft = None

    def _start(self, line: bytes) -> ImapCommand | Continuation | None:
        usual = _LOGIN.fullmatch(line)
        if usual is not None:
            tag, name, password = usual.group(1, 3, 5)
            self._tag = tag
            self._buffer.release()
            return ImapCommand(tag, ImapVerb.LOGIN, (name, password))
        match = _COMMAND.fullmatch(line)
        verb = _VERBS.get(match[2].upper()) if match else None
        if match is None or verb is None:
            self._tag = _tag_of(line)
            raise self._invalid(line)
        tag = self._tag = match[1]
        text = match[3]
        if not text:
            return self._complete(ImapCommand(tag, verb))
        return self._parse_arguments(_Draft(tag, verb), text, line)

    def _resume(self, draft: _Draft, line: bytes) -> ImapCommand | Continuation | None:
        text = strip_newline(line)
        if b"\r" in text or text[:1] not in (b"", b" "):
            raise self._invalid(line)
        return self._parse_arguments(draft, text, line)

    def _parse_arguments(self, draft: _Draft, text: bytes, line: bytes) -> ImapCommand | Continuation | None:
        arguments = draft.arguments
        position = 0
        while (match := _ARGUMENT.match(text, position)) is not None:
            kind = match.lastgroup
            if kind is None:
                return self._complete(ImapCommand(draft.tag, draft.verb, tuple(arguments)))
            if len(arguments) == self.maximum_arguments:
                break
            if kind == "plus":
                return self._expect_literal(draft, match, line)
            argument = match[kind]
            if kind == "quoted" and b"\\" in argument:
                argument = _ESCAPED.sub(rb"\1", argument)
            arguments.append(argument)
            position = match.end()
        raise self._invalid(line)

    def _expect_literal(self, draft: _Draft, match: re.Match[bytes], line: bytes) -> Continuation | None:
        length = int(match["length"] or b"0")
        if not self._buffer.fits(length):
            raise self._invalid(line)
        draft.literal = length
        self._draft = draft
        return None if match["plus"] else Continuation()

    def _take_literal(self, draft: _Draft) -> bool:
        if draft.literal is not None:
            literal = self._buffer.literal(draft.literal)
            if literal is None:
                return False
            draft.literal = None
            draft.arguments.append(literal)
        return True

    def _complete(self, command: ImapCommand) -> ImapCommand:
        self._draft = None
        self._buffer.release()
        return command

    def _invalid(self, line: bytes) -> InvalidCommand:
        # "{N+}" means that N bytes of data follow unasked; they must not run as commands.
        self._draft = None
        self._buffer.release()
        return InvalidCommand(self._tag, close=strip_newline(line).endswith(b"+}"))

    def _too_long(self) -> TooLongCommand:
        content = self._buffer.content
        if self._draft is None:
            self._tag = _tag_of(content)
        return TooLongCommand(content, self._tag)


def _tag_of(line: bytes) -> bytes | None:
    match = _TAG.match(line)
    return match[1] if match else None
