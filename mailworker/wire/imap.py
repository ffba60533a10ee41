"""IMAP commands as a client sends them before it is logged in (RFC 9051, 7888), read as nginx reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from mailworker.wire import imap_id
from mailworker.wire.command import InvalidCommand, TooLongCommand
from mailworker.wire.command_buffer import CommandBuffer
from mailworker.wire.command_parser import TOO_LONG_LITERAL, CommandParser, strip_newline
from mailworker.wire.confidential import described
from mailworker.wire.quoted import unescaped


class ImapVerb(Enum):
    """The commands that have a meaning before login; all others are invalid."""

    AUTHENTICATE = b"AUTHENTICATE"
    CAPABILITY = b"CAPABILITY"
    ID = b"ID"
    LOGIN = b"LOGIN"
    LOGOUT = b"LOGOUT"
    NOOP = b"NOOP"
    STARTTLS = b"STARTTLS"


@dataclass(slots=True)
class ImapCommand:
    """One command, with decoded quoted strings and literals; ID has one argument, in the form of `imap_id.write`."""

    tag: bytes
    verb: ImapVerb
    arguments: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(slots=True)
class Continuation:
    """The client waits for "+ OK" before it sends the bytes of a literal."""


# Each login needs it, and Python 3.11 takes some 850 instructions to find a member in its enum.
_LOGIN_VERB = ImapVerb.LOGIN

_Event = ImapCommand | Continuation | None

_VERBS = {verb.value: verb for verb in ImapVerb}

# RFC 9051, 9: a tag is any ASTRING-CHAR but "+". nginx takes 32 letters, digits, "-", "." and "_", and as we do more
# than one space before the verb. Dovecot takes no tags much longer than this.
_TAG_LIMIT = 100
_TAG = rb"[^\x00-\x20\x7f-\xff\"%%()*+\\{]{1,%d}" % _TAG_LIMIT
_COMMAND = re.compile(rb"(%b) +([A-Za-z]+)(?: ([^\r\n]*))?\r?\n" % _TAG)
# A line that is no command may come from a browser: the reply must not repeat markup in its tag.
_TAG_OF_NO_COMMAND = re.compile(rb"((?![^ ]*[<>])%b|) " % _TAG)

# RFC 9051, 9: string = quoted / literal. nginx accepts more: the end of the line also ends a quoted string, "\" escapes
# any byte except CR and LF, a literal's length may be empty (0), and an atom may begin with any byte that starts
# neither of the two. A length of ten digits or more fits no buffer.
_ARGUMENT = re.compile(
    rb' *(?:"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)(?:"|\Z)'
    rb"|\{0*(?P<length>[0-9]{0,9})(?P<plus>\+?)\}\Z"
    rb'|(?P<atom>[^ "{][^ ]*)'
    rb"|\Z)",
    re.DOTALL,
)
# The usual LOGIN: a subset of that grammar, parsed by one match without backreferences, as each login takes this time.
_STRING_OR_ATOM = rb'(?:"([^"\\\r\n]+)"|([^ "{\r\n][^ \r\n]*))'
_LOGIN = re.compile(rb"(%b) (?i:LOGIN) %b %b\r?\n" % (_TAG, _STRING_OR_ATOM, _STRING_OR_ATOM))

_LITERAL = re.compile(rb"\{0*(?P<length>[0-9]{0,9})(?P<plus>\+?)\}\Z")


def login_words(line: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Tag, name and password of a complete line that is a LOGIN in the form that nearly all clients send.

    None if ImapParser has to parse it. native/wire/words.c implements it in C, as each login takes this time.
    """
    match = _LOGIN.fullmatch(line)
    if match is None:
        return None
    tag, quoted_name, name, quoted_password, password = match.groups()
    return tag, quoted_name or name, quoted_password or password


def usual_login(line: bytes) -> ImapCommand | None:
    """The command of a complete line that is a usual LOGIN, see `login_words`."""
    words = login_words(line)
    return None if words is None else ImapCommand(words[0], _LOGIN_VERB, words[1:])


class _Draft:
    """A command whose arguments are being read; `literal` is the length of a literal that is due, None if none is."""

    __slots__ = ("arguments", "literal", "tag", "verb")

    def __init__(self, tag: bytes, verb: ImapVerb) -> None:
        self.tag = tag
        self.verb = verb
        self.arguments: list[bytes] = []
        self.literal: int | None = None

    def take_literal(self, buffer: CommandBuffer) -> bool:
        """Whether nothing is due any more."""
        if self.literal is not None:
            literal = buffer.literal(self.literal)
            if literal is None:
                return False
            self.literal = None
            self.arguments.append(literal)
        return True


class _Refused:
    """An invalid command that has not ended: `due` bytes of a literal must be skipped.

    With the line after them, it may have `remaining` bytes. `what` describes the command for the log.
    """

    __slots__ = ("due", "remaining", "what")

    def __init__(self, due: int, remaining: int, what: str) -> None:
        self.due = due
        self.remaining = remaining
        self.what = what

    def take_literal(self, buffer: CommandBuffer) -> bool:
        """Whether nothing is due any more."""
        self.due = buffer.swallow(self.due)
        return not self.due


class ImapParser(CommandParser):
    """Parser of IMAP commands."""

    __slots__ = ("_draft",)

    maximum_arguments: ClassVar[int] = 3

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._draft: _Draft | _Refused | None = None

    def next(self) -> _Event:
        """The next command, or Continuation; None while more input is needed.

        Raises TooLongCommand, and InvalidCommand: at once for a synchronizing literal or one that cannot fit into the
        buffer, and after the end of non-synchronizing ones.
        """
        while True:
            draft = self._draft
            if draft is not None and not draft.take_literal(self._buffer):
                return None
            line = self._buffer.line()
            if line is None:
                if self._buffer.room:
                    return None
                raise self._too_long()
            if draft is None:
                event = self._start(line)
            elif isinstance(draft, _Refused):
                event = self._refuse(line)
            else:
                event = self._resume(draft, line)
            if event is not None:
                return event

    def discard(self) -> None:
        super().discard()
        self._draft = None

    def _start(self, line: bytes) -> _Event:
        usual = usual_login(line)
        if usual is not None:
            self._tag = usual.tag
            self._buffer.release()
            return usual
        match = _COMMAND.fullmatch(line)
        verb = _VERBS.get(match[2].upper()) if match else None
        if match is None or verb is None:
            self._tag = _tag_of(line)
            return self._refuse(line)
        tag = self._tag = match[1]
        text = match[3]
        if verb is ImapVerb.ID:
            return self._parse_id(_Draft(tag, verb), text or b"", line)
        if not text:
            return self._complete(ImapCommand(tag, verb))
        return self._parse_arguments(_Draft(tag, verb), text, line)

    def _resume(self, draft: _Draft, line: bytes) -> _Event:
        text = strip_newline(line)
        if b"\r" in text:
            return self._refuse(line)
        if draft.verb is ImapVerb.ID:
            return self._parse_id(draft, text, line)
        if text[:1] not in (b"", b" "):
            return self._refuse(line)
        return self._parse_arguments(draft, text, line)

    def _parse_id(self, draft: _Draft, text: bytes, line: bytes) -> _Event:
        """Parse an ID; texts and literals alternate in the draft's arguments."""
        literal = _LITERAL.search(text)
        if literal is not None:
            draft.arguments.append(text[: literal.start()])
            return self._expect_literal(draft, literal, line)
        fields = imap_id.read((*draft.arguments[::2], text), draft.arguments[1::2])
        if fields is None:
            return self._refuse(line)
        return self._complete(ImapCommand(draft.tag, draft.verb, (imap_id.write(fields),)))

    def _parse_arguments(self, draft: _Draft, text: bytes, line: bytes) -> _Event:
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
            arguments.append(unescaped(argument) if kind == "quoted" else argument)
            position = match.end()
        return self._refuse(line)

    def _expect_literal(self, draft: _Draft, match: re.Match[bytes], line: bytes) -> _Event:
        length = int(match["length"] or b"0")
        if length >= self._buffer.remaining:
            return self._refuse(line, TOO_LONG_LITERAL)
        draft.literal = length
        self._draft = draft
        return None if match["plus"] else Continuation()

    def _complete(self, command: ImapCommand) -> ImapCommand:
        self._draft = None
        self._buffer.release()
        return command

    def _refuse(self, line: bytes, why: str = "") -> _Event:
        """Raise InvalidCommand, or return None if "{N+}" ends the line: the N bytes that follow are no commands.

        They are skipped if they and the bytes before them would have fitted into the buffer. `why` ends the
        description for the log.
        """
        draft = self._draft
        remaining = draft.remaining - len(line) if isinstance(draft, _Refused) else self._buffer.remaining
        what = draft.what if isinstance(draft, _Refused) else described(line if draft is None else draft.verb.value)
        what += why
        self._draft = None
        self._buffer.release()
        text = strip_newline(line)
        if not text.endswith(b"+}"):
            raise InvalidCommand(self._tag, what=what)
        literal = _LITERAL.search(text)
        length = remaining if literal is None else int(literal["length"] or b"0")
        if length >= remaining:
            raise InvalidCommand(self._tag, close=True, what=what)
        self._draft = _Refused(length, remaining - length, what)
        return None

    def _too_long(self) -> TooLongCommand:
        content = self._buffer.content
        if isinstance(self._draft, _Refused):
            content = b"..."  # the end of a command whose beginning is dropped; it may contain a password
        elif self._draft is None:
            self._tag = _tag_of(content)
        return TooLongCommand(content, self._tag)


def _tag_of(line: bytes) -> bytes | None:
    match = _TAG_OF_NO_COMMAND.match(line)
    return match[1] if match else None
