"""Splits the text of a configuration into statements, by the rules of nginx's tokenizer (ngx_conf_read_token).

A statement is a list of words that ends with ";" or "{", a "}" alone, or the end of the text. Its position is the
number of the line of its last byte, counted from 1.
"""

from __future__ import annotations

import os
import re
from enum import Enum
from typing import Final, NamedTuple

from mailworker.errors import ConfigError

BUFFER_SIZE: Final = 4096  # bytes, nginx's read buffer: a word and the byte after it must fit into it

_GAP = re.compile(rb"[ \t\r\n]*")
_COMMENT = re.compile(rb"#[^\n]*")
# A backslash escapes the byte after it; "{" directly after "$" does not end a word.
_BARE_WORD = re.compile(rb"[^ \t\r\n;{\\$]*(?:(?:\\[\s\S]|\$\{*)[^ \t\r\n;{\\$]*)*")
_QUOTED = {
    b'"': re.compile(rb'[^"\\]*(?:\\[\s\S][^"\\]*)*'),
    b"'": re.compile(rb"[^'\\]*(?:\\[\s\S][^'\\]*)*"),
}
# Two ordinary words, as on nearly all lines of a long `map`.
_WORD = rb"[ \t\r\n]*([^ \t\r\n;{}\"'#\\$][^ \t\r\n;{\\$]*)"
_TWO_WORDS = re.compile(_WORD + rb"[ \t\r\n]" + _WORD + rb";")
_ESCAPE = re.compile(rb"\\([\"'\\trn])")
_CONTROL_BYTES = {b"t": b"\t", b"r": b"\r", b"n": b"\n"}
_SPACES = (b" ", b"\t", b"\r", b"\n")


class Ending(Enum):
    """What ended a statement."""

    SEMICOLON = ";"
    BLOCK_START = "{"
    BLOCK_DONE = "}"
    FILE_DONE = ""


class Statement(NamedTuple):
    """Words, and what ended the statement; "}" and the end of the text have no words.

    Bytes that are not valid in the file system's encoding are surrogate escapes.
    """

    words: list[str]
    ending: Ending


class Lexer:
    """Reads the statements of a file, or of the text of `-g` if `name` is None."""

    __slots__ = ("_data", "_position", "line", "name")

    def __init__(self, data: bytes, name: str | None) -> None:
        self._data = data
        self._position = 0
        self.name = name
        self.line = 1

    @property
    def where(self) -> str:
        """The present position, as in nginx's messages."""
        return "command line" if self.name is None else f"{self.name}:{self.line}"

    def error(self, message: str) -> ConfigError:
        """An error at the present position."""
        return ConfigError(message, self.where)

    def next(self) -> Statement:
        """The next statement; raises ConfigError for invalid text."""
        plain = _TWO_WORDS.match(self._data, self._position)
        if plain is not None and plain.end() - plain.start() < BUFFER_SIZE:
            self._advance_to(plain.end())
            return Statement([os.fsdecode(plain[1]), os.fsdecode(plain[2])], Ending.SEMICOLON)
        words: list[str] = []
        while True:
            self._skip_gaps()
            start = self._position
            mark = self._data[start : start + 1]
            if mark in (b"", b";", b"{", b"}"):
                return self._end_statement(words, mark)
            if mark in _QUOTED:
                word, ended_by = self._quoted_word(mark)
            else:
                word, ended_by = self._bare_word()
            words.append(os.fsdecode(_ESCAPE.sub(_unescape, word) if b"\\" in word else word))
            if ended_by in (b";", b"{"):
                return self._end_statement(words, ended_by)

    def _end_statement(self, words: list[str], mark: bytes) -> Statement:
        self._position += 1
        if mark == b"":
            if words:
                raise self._unexpected_end()
        elif (mark == b"}") == bool(words):
            raise self.error(f'unexpected "{mark.decode()}"')
        return Statement(words, Ending(mark.decode()))

    def _skip_gaps(self) -> None:
        while True:
            self._advance_to(self._end_of(_GAP, self._position))
            comment = _COMMENT.match(self._data, self._position)
            if comment is None:
                return
            self._check_length(comment.start(), comment.end())
            self._advance_to(comment.end())

    def _bare_word(self) -> tuple[bytes, bytes]:
        start = self._position
        end = self._end_of(_BARE_WORD, start)
        ended_by = self._data[end : end + 1]
        self._check_length(start, end + (ended_by in _SPACES))
        self._advance_to(end)
        if ended_by in (b"", b"\\"):
            raise self._unexpected_end()
        return self._data[start:end], ended_by

    def _quoted_word(self, quote: bytes) -> tuple[bytes, bytes]:
        start = self._position + 1
        end = self._end_of(_QUOTED[quote], start)
        self._check_length(start, end, quote)
        closing = self._data[end : end + 1]
        ended_by = self._data[end + 1 : end + 2]
        self._check_length(start, end + 1 + (ended_by in _SPACES))
        self._advance_to(end + 1)
        if closing != quote or ended_by == b"":
            raise self._unexpected_end()
        if ended_by not in (b";", b"{", b")", *_SPACES):
            raise self.error(f'unexpected "{os.fsdecode(ended_by)}"')
        return self._data[start:end], ended_by

    def _end_of(self, pattern: re.Pattern[bytes], start: int) -> int:
        match = pattern.match(self._data, start)
        return match.end() if match else start

    def _check_length(self, start: int, needed: int, quote: bytes | None = None) -> None:
        """Refuse a word from `start` to `needed` that does not fit into nginx's buffer."""
        limit = start + BUFFER_SIZE
        if self.name is None or needed < limit or len(self._data) <= limit:
            return
        if quote is not None:
            raise self.error(f'too long parameter, probably missing terminating "{quote.decode()}" character')
        raise self.error(f'too long parameter "{os.fsdecode(self._data[start : start + 10])}..." started')

    def _unexpected_end(self) -> ConfigError:
        self._advance_to(len(self._data))
        if self.name is None:
            return self.error('unexpected end of parameter, expecting ";"')
        return self.error('unexpected end of file, expecting ";" or "}"')

    def _advance_to(self, position: int) -> None:
        self.line += self._data.count(b"\n", self._position, position)
        self._position = position


def _unescape(match: re.Match[bytes]) -> bytes:
    return _CONTROL_BYTES.get(match[1], match[1])
