"""The base class of the command parsers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from mailworker.wire.command import InvalidCommand, TooLongCommand
from mailworker.wire.command_buffer import CommandBuffer
from mailworker.wire.confidential import described

# POP3 (RFC 1939, 3) and SMTP (RFC 5321, 2.4) as nginx reads them: letters, then the text after the first space.
# CR is optional before LF and allowed nowhere else; every other byte, NUL too, is data.
_VERB_LINE = re.compile(rb"([A-Za-z]+)(?: ([^\r\n]*))?\r?\n")

INVALID_RESPONSE = "invalid response to a challenge"
"""The description of such a line in the log."""

TOO_LONG_LITERAL = " with too long literal"
"""The end of the description of a command whose literal does not fit the buffer."""

CommandT = TypeVar("CommandT")


def usual_words(usual: re.Pattern[bytes], heard: bytes | None, words: bytes) -> re.Match[bytes] | None:
    """The match of lines that a client has sent one by one, of which `words` is the last; None for other lines.

    `heard` are the lines before it, None without any.
    """
    found = usual.fullmatch(words if heard is None else heard + words)
    return None if words.find(b"\n") < len(words) - 1 else found


def split_words(text: bytes) -> list[bytes]:
    """Words between runs of spaces."""
    return [word for word in text.split(b" ") if word]


def strip_newline(line: bytes) -> bytes:
    """A line without its LF or CRLF."""
    return line[:-2] if line.endswith(b"\r\n") else line[:-1]


class CommandParser:
    """Turns a client's bytes into commands: `feed` what was read, then call `next` until it returns None.

    `next` belongs to each protocol. It raises `InvalidCommand` and `TooLongCommand`; after the first it goes on
    with the following line. `limit` is the most bytes that one command, or one SASL response, may take.
    """

    __slots__ = ("_buffer", "_tag")

    maximum_arguments: ClassVar[int]

    def __init__(self, limit: int) -> None:
        self._buffer = CommandBuffer(limit)
        self._tag: bytes | None = None

    @property
    def room(self) -> int:
        """The number of bytes that may be fed now; never 0 after `next` or `next_response` returned None."""
        return self._buffer.room

    @property
    def has_input(self) -> bool:
        """Whether it has bytes that no command has consumed."""
        return self._buffer.is_filled

    def feed(self, data: bytes) -> None:
        """Add input, at most `room` bytes; more raises ValueError."""
        self._buffer.feed(data)

    def next_response(self) -> bytes | None:
        """The next line's first word, as the answer to a SASL challenge; None while the line is incomplete.

        Further words are ignored, as in nginx; if there are more than a command may have, the line is invalid.
        """
        line = self._single_line()
        if line is None:
            return None
        text = strip_newline(line)
        response, _, ignored = text.partition(b" ")
        if b"\r" in text or len(split_words(ignored)) >= self.maximum_arguments:
            raise InvalidCommand(self._tag, what=INVALID_RESPONSE)
        return response

    def discard(self) -> None:
        """Forget all unread input: plaintext after STARTTLS must not be read as if it came inside TLS."""
        self._buffer.clear()
        self._tag = None

    def rest(self) -> bytes:
        """Take all unread bytes, for the backend of a client that has logged in."""
        rest = self._buffer.content
        self._buffer.clear()
        return rest

    def _single_line(self) -> bytes | None:
        line = self._buffer.line()
        if line is None:
            if not self._buffer.room:
                raise TooLongCommand(self._buffer.content, self._tag)
            return None
        self._buffer.release()
        return line

    def _split_arguments(self, text: bytes, line: bytes = b"") -> tuple[bytes, ...]:
        """The words of `text`, the end of `line`. Raises InvalidCommand if there are too many."""
        words = split_words(text)
        if len(words) > self.maximum_arguments:
            raise InvalidCommand(self._tag, what=described(line))
        return tuple(words)


class LineParser(CommandParser, ABC, Generic[CommandT]):
    """The parser of a protocol whose commands are lines, POP3 or SMTP; `verbs` are its verbs by their names."""

    __slots__ = ()

    verbs: ClassVar[Mapping[bytes, Any]]

    def next(self) -> CommandT | None:
        """The next command; None while it is incomplete. Raises InvalidCommand and TooLongCommand."""
        line = self._single_line()
        return None if line is None else self._parsed(line) or self._refuse_line(line)

    def whole(self, words: bytes) -> CommandT | None:
        """The command if `words` are exactly one line, without feeding it to the parser; None otherwise."""
        try:
            return None if self._buffer.is_filled else self._parsed(words)
        except InvalidCommand:
            return None

    def _parsed(self, line: bytes) -> CommandT | None:
        match = _VERB_LINE.fullmatch(line)
        verb = self.verbs.get(match[1].upper()) if match else None
        return None if match is None or verb is None else self._command(verb, match[2] or b"", line)

    @abstractmethod
    def _command(self, verb: Any, text: bytes, whole: bytes) -> CommandT:
        """The command of the line `whole`, with `text` after its verb. Raises InvalidCommand."""

    def _refuse_line(self, line: bytes) -> NoReturn:
        """Refuse a line that is no command of the protocol. Raises InvalidCommand."""
        raise InvalidCommand(what=described(line))
