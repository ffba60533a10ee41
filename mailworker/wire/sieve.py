"""ManageSieve commands as a client sends them before it is logged in (RFC 5804)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from mailworker.wire.command import InvalidCommand, TooLongCommand
from mailworker.wire.command_parser import INVALID_RESPONSE, TOO_LONG_LITERAL, CommandParser, strip_newline, usual_words
from mailworker.wire.confidential import INVALID, described
from mailworker.wire.quoted import quoted, unescaped


class SieveVerb(Enum):
    """The commands of RFC 5804; those listed after STARTTLS are allowed only after the login."""

    AUTHENTICATE = b"AUTHENTICATE"
    CAPABILITY = b"CAPABILITY"
    LOGOUT = b"LOGOUT"
    NOOP = b"NOOP"
    STARTTLS = b"STARTTLS"
    CHECKSCRIPT = b"CHECKSCRIPT"
    DELETESCRIPT = b"DELETESCRIPT"
    GETSCRIPT = b"GETSCRIPT"
    HAVESPACE = b"HAVESPACE"
    LISTSCRIPTS = b"LISTSCRIPTS"
    PUTSCRIPT = b"PUTSCRIPT"
    RENAMESCRIPT = b"RENAMESCRIPT"
    SETACTIVE = b"SETACTIVE"
    UNAUTHENTICATE = b"UNAUTHENTICATE"


@dataclass(slots=True)
class SieveCommand:
    """One command, its strings decoded."""

    verb: SieveVerb
    arguments: tuple[bytes, ...] = field(default=(), repr=False)


QUOTED_LIMIT = 1024
"""Most bytes of a quoted string (RFC 5804 section 4)."""

_VERBS = {verb.value: verb for verb in SieveVerb}
_AUTHENTICATE = SieveVerb.AUTHENTICATE  # each login needs it, and Python 3.11 takes long to find a member

# RFC 5804, 1.2 and 4. More is accepted: quoted strings may be longer, as KMail's are; "{N}", which clients of old
# drafts send, is read as "{N+}"; there may be more than one space. Invalid escapes with "\", and NUL, are refused.
_QUOTED = rb'"([^"\\\0\r\n]*(?:\\["\\][^"\\\0\r\n]*)*)"'
_LITERAL = rb"\{(0|[1-9][0-9]{0,9})\+?\}\Z"
_ATOM = rb'([^\0-\x20\x7f-\xff(){"\\]{1,1024})'
_WORD = re.compile(rb"(?:%b|%b|%b)(?: +|\Z)" % (_QUOTED, _LITERAL, _ATOM))
_ANNOUNCED = re.compile(rb"\{([0-9]+)\+?\}\Z")
_SIZE_DIGITS = 10
# The usual login, parsed by one match, as each login takes this time.
_LOGIN = re.compile(rb'(?i:AUTHENTICATE) "([A-Za-z0-9-]+)" "([A-Za-z0-9+/=]*)"\r\n')
# The same by the response of PLAIN, with the command or after a challenge.
_USUAL = re.compile(rb'(?i:CAPABILITY\r\n)?(?i:AUTHENTICATE "PLAIN")(?: |\r\n)"([^"\\\r\n]+)"\r?\n')
_UNQUOTABLE = re.compile(rb"[\0\r\n]")


def sieve_words(heard: bytes | None, words: bytes) -> tuple[bytes] | None:
    """The response of PLAIN of a login as nearly all clients send it.

    Its last line is `words`; `heard` are the lines before it, None without any. None if SieveParser has to parse them.
    native/wire/first_words.c implements it in C, as each login takes this time.
    """
    found = usual_words(_USUAL, heard, words)
    return None if found is None else (found[1],)


def string(value: bytes) -> bytes:
    """A string as a server sends it: quoted if possible, else a literal."""
    return _quoted(value) or b"{%d}\r\n%b" % (len(value), value)


def client_string(value: bytes) -> bytes:
    """A string as a client sends it."""
    return _quoted(value) or b"{%d+}\r\n%b" % (len(value), value)


def text(value: bytes) -> bytes:
    """A quoted string for people: one line of valid UTF-8, with as much of `value` as fits."""
    shown = _UNQUOTABLE.sub(b" ", value).decode(errors="replace").encode()
    return _quoted(shown) or _quoted(shown[: QUOTED_LIMIT // 2].decode(errors="ignore").encode())


def _quoted(value: bytes) -> bytes:
    """The quoted string; empty if the value cannot be quoted."""
    if _UNQUOTABLE.search(value):
        return b""
    found = quoted(value)
    return found if len(found) <= len(b'""') + QUOTED_LIMIT and _is_text(value) else b""


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


class SieveParser(CommandParser):
    """Parser of ManageSieve commands.

    Literals are non-synchronizing. The literal of an invalid command is read, too, or it would be taken for commands.
    """

    __slots__ = ("_due", "_valid", "_what", "_words")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._words: list[tuple[bool, bytes]] = []  # (whether it is a string, word)
        self._valid = True
        self._what = INVALID  # the description of the last command's first line
        self._due: int | None = None  # bytes of the literal that is being received

    def next(self) -> SieveCommand | None:
        """The next command; None while it is incomplete.

        Raises TooLongCommand, and InvalidCommand: at once for a literal that cannot fit the buffer.
        """
        words = self._next_words()
        if words is None:
            return None
        if isinstance(words, SieveCommand):
            return words
        (is_string, name), *others = words
        verb = None if is_string else _VERBS.get(name.upper())
        if verb is None or not (verb is SieveVerb.HAVESPACE or all(is_string for is_string, _ in others)):
            raise InvalidCommand(what=self._what)  # only HAVESPACE has a number among its arguments
        return SieveCommand(verb, tuple(word for _, word in others))

    def next_response(self) -> bytes | None:
        """The next string, as the answer to a SASL challenge; None while it is incomplete. Raises as `next` does."""
        try:
            words = self._next_words()
        except InvalidCommand as error:
            what = INVALID_RESPONSE + TOO_LONG_LITERAL if error.close else INVALID_RESPONSE
            raise InvalidCommand(close=error.close, what=what) from None
        if words is None:
            return None
        if isinstance(words, SieveCommand) or not words[0][0] or len(words) > 1:
            raise InvalidCommand(what=INVALID_RESPONSE)
        ((_, word),) = words
        return word

    def discard(self) -> None:
        super().discard()
        self._start_over()

    def _start_over(self) -> None:
        self._words, self._valid, self._due = [], True, None

    def _next_words(self) -> list[tuple[bool, bytes]] | SieveCommand | None:
        """The words of a complete command, at least one; for the usual login the command itself."""
        while self._take_literal():
            line = self._buffer.line()
            if line is None:
                if self._buffer.room:
                    return None
                raise TooLongCommand(self._buffer.content)
            if not self._words and self._valid and (usual := _LOGIN.fullmatch(line)) is not None:
                self._buffer.release()
                return SieveCommand(_AUTHENTICATE, usual.groups())
            if not self._words:
                self._what = described(line)
            if self._take_line(strip_newline(line)):
                words, valid = self._words, self._valid
                self._start_over()
                self._buffer.release()
                if not words or not valid:
                    raise InvalidCommand(what=self._what)
                return words
        return None

    def _take_literal(self) -> bool:
        """Read a literal that is due; returns whether none is due any more."""
        if self._due is not None:
            literal = self._buffer.literal(self._due)
            if literal is None:
                return False
            self._due = None
            self._words.append((True, literal))
            self._valid = self._valid and b"\0" not in literal
        return True

    def _take_line(self, line: bytes) -> bool:
        """Read a line; returns whether it ends the command, which goes on if the line announces a literal."""
        position = 0
        if self._words and line[:1] not in (b"", b" "):
            self._valid = False
        elif self._words:
            position = len(line) - len(line.lstrip(b" "))
        while self._valid and position < len(line):
            match = _WORD.match(line, position)
            if match is None:
                self._valid = False
            elif match.lastindex != 2:
                word = match[match.lastindex or 0]
                self._words.append((match.lastindex == 1, unescaped(word)))
            position = len(line) if match is None else match.end()
        announced = _ANNOUNCED.search(line) if line.endswith(b"}") else None
        if announced is not None:
            digits = announced[1].lstrip(b"0") or b"0"  # a longer number fits no buffer
            self._expect_literal(int(digits) if len(digits) <= _SIZE_DIGITS else self._buffer.remaining)
        return announced is None

    def _expect_literal(self, length: int) -> None:
        if length >= self._buffer.remaining:
            self._start_over()
            self._buffer.release()
            raise InvalidCommand(close=True, what=self._what + TOO_LONG_LITERAL)
        self._due = length
