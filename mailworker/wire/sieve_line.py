"""The reader of a ManageSieve client's commands after the login: the Python version of native/wire/sieve_line.c.

The same tests run on both. This module shows how commands are read; line.c explains why.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

_FORBIDDEN = (b"UNAUTHENTICATE", b"STARTTLS")
_STRING_LIMIT = 1024
_SIZE_LIMIT = 0xFFFFFFFF
_SIZE_DIGITS = 10
_LINE_ENDS = b"\0\r\n"
_NOT_IN_ATOMS = b'(){"\\'


class _Command(NamedTuple):
    """A command: the number of first arguments that may be literals, and the number of the script, 0 for none."""

    literals: int = 0
    script: int = 0


_COMMANDS = {
    b"AUTHENTICATE": _Command(),
    b"CAPABILITY": _Command(),
    b"CHECKSCRIPT": _Command(1, 1),
    b"DELETESCRIPT": _Command(1),
    b"GETSCRIPT": _Command(1),
    b"HAVESPACE": _Command(1),
    b"LISTSCRIPTS": _Command(),
    b"LOGOUT": _Command(),
    b"NOOP": _Command(1),
    b"PUTSCRIPT": _Command(2, 2),
    b"RENAMESCRIPT": _Command(2),
    b"SETACTIVE": _Command(1),
}


class _State(Enum):
    WORD = auto()
    SPACE = auto()
    ATOM = auto()
    STRING_END = auto()
    CR = auto()
    WILD = auto()
    WILD_QUOTED = auto()
    WILD_ESCAPED = auto()
    QUOTED = auto()
    ESCAPED = auto()
    SIZE = auto()
    PLUS = auto()
    BRACE = auto()
    SIZE_CR = auto()
    NAME = auto()
    SCRIPT = auto()


# The states inside strings, where the two words are allowed.
_STRINGS = frozenset(list(_State)[list(_State).index(_State.QUOTED) :])


class Refused(Exception):
    """The bytes must not be forwarded."""


class SieveLine:
    """Reads a client's bytes one by one, but skips those of scripts."""

    def __init__(self) -> None:
        self._begin()
        self._count = 0
        self._size = b""
        self._command = _Command()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._readers: dict[_State, Callable[[bytes], None]] = {
            _State.WORD: self._read_word,
            _State.SPACE: self._read_argument,
            _State.ATOM: self._read_atom,
            _State.STRING_END: self._go_on,
            _State.WILD: self._go_wild,
            _State.WILD_QUOTED: self._read_wild_string,
            _State.WILD_ESCAPED: self._read_wild_string,
            _State.QUOTED: self._read_quoted,
            _State.ESCAPED: self._read_escaped,
            _State.SIZE: self._read_size,
            _State.PLUS: lambda byte: self._expect(byte, b"}", _State.BRACE),
            _State.BRACE: lambda byte: self._expect(byte, b"\r", _State.SIZE_CR),
            _State.SIZE_CR: self._begin_literal,
            _State.NAME: self._read_name,
            _State.SCRIPT: self._read_script,
        }

    def refuses(self, data: bytes) -> bool:
        """Whether these bytes must not be forwarded; the next call continues after them."""
        index = 0
        try:
            while index < len(data):
                skipped = self._skip_script(len(data) - index)
                if not skipped:
                    self._read(data[index : index + 1])
                index += skipped or 1
        except Refused:
            return True
        return False

    def _skip_script(self, length: int) -> int:
        """Take as many of `length` bytes as belong to a script, may be any, and are not its last."""
        if self._state is not _State.SCRIPT or self._wary:
            return 0
        skipped = min(length, self._count - 1)
        self._count -= skipped
        return skipped

    def _begin(self) -> None:
        self._state = _State.WORD
        self._word = self._last = b""
        self._argument: int | None = 0  # None after an argument that is no string
        self._wary = False

    def _read(self, byte: bytes) -> None:
        if self._state is _State.CR:
            self._begin()
            if byte == b"\n":
                return
        if self._state not in _STRINGS:
            self._scan(byte)
        self._readers[self._state](byte)

    def _scan(self, byte: bytes) -> None:
        """Note the last bytes outside of strings."""
        self._last = self._last[-13:] + byte.upper()
        if self._last.endswith(_FORBIDDEN):
            raise Refused

    def _go_wild(self, byte: bytes) -> None:
        if byte == b"{":
            raise Refused
        if byte == b"\n":
            self._begin()
        else:
            self._state = {b'"': _State.WILD_QUOTED, b"\r": _State.CR}.get(byte, _State.WILD)

    def _go_on(self, byte: bytes) -> None:
        if byte != b" ":
            self._go_wild(byte)
            return
        self._state = _State.SPACE
        if self._argument is not None:
            self._argument += 1

    def _read_word(self, byte: bytes) -> None:
        word = self._word + byte.upper()
        if any(command.startswith(word) for command in _COMMANDS):
            self._word = word
        elif self._word in _COMMANDS:
            self._command = _COMMANDS[self._word]
            self._go_on(byte)
        else:
            self._go_wild(byte)

    def _read_argument(self, byte: bytes) -> None:
        if byte == b'"':
            self._begin_string(_State.QUOTED)
        elif byte == b"{":
            self._begin_string(_State.SIZE)
            self._size = b""
            if self._argument is None or self._argument > self._command.literals:
                raise Refused
        elif _is_atom(byte):
            self._state, self._argument = _State.ATOM, None
        else:
            self._go_wild(byte)

    def _read_atom(self, byte: bytes) -> None:
        if not _is_atom(byte):
            self._go_on(byte)

    def _begin_string(self, state: _State) -> None:
        self._state, self._count = state, 0
        self._decoder.reset()

    def _read_quoted(self, byte: bytes) -> None:
        self._wary = self._wary or byte >= b"\x80"
        try:
            self._scan(byte)
        except Refused:
            if self._wary:
                raise
        whole = not self._decoder.getstate()[0]
        if byte == b'"' and whole:
            self._state = _State.STRING_END
        elif byte == b"\\" and whole:
            self._state = _State.ESCAPED
        elif not self._is_text(byte) or self._count == _STRING_LIMIT:
            self._state = {b'"': _State.WILD, b"\\": _State.WILD_ESCAPED}.get(byte, _State.WILD_QUOTED)
        self._count += 1
        self._refuse_line_end(byte)

    def _read_escaped(self, byte: bytes) -> None:
        self._state = _State.QUOTED if byte in (b'"', b"\\") else _State.WILD_QUOTED
        self._last += byte.upper()
        self._refuse_line_end(byte)

    def _read_wild_string(self, byte: bytes) -> None:
        escaped, self._state = self._state is _State.WILD_ESCAPED, _State.WILD_QUOTED
        if not escaped:
            self._state = {b'"': _State.WILD, b"\\": _State.WILD_ESCAPED}.get(byte, _State.WILD_QUOTED)
        self._refuse_line_end(byte)

    def _read_size(self, byte: bytes) -> None:
        if byte == b"+" and self._size:
            self._state = _State.PLUS
            return
        if not byte.isdigit() or self._size == b"0" or len(self._size) == _SIZE_DIGITS:
            raise Refused
        self._size += byte
        if int(self._size) > _SIZE_LIMIT:
            raise Refused

    def _begin_literal(self, byte: bytes) -> None:
        self._count = int(self._size)
        script = self._argument == self._command.script
        self._expect(byte, b"\n", _State.SCRIPT if script else _State.NAME)
        if not script and self._count > _STRING_LIMIT:
            raise Refused
        self._size = b""
        if not self._count:
            self._state = _State.STRING_END

    def _read_name(self, byte: bytes) -> None:
        if byte == b"\0" or not self._is_text(byte):
            raise Refused
        self._take_literal()
        if not self._count and self._decoder.getstate()[0]:
            raise Refused

    def _read_script(self, byte: bytes) -> None:
        if self._wary:
            self._scan(byte)
            if self._size + byte == b"+}":
                raise Refused
            self._size = byte
        self._take_literal()

    def _take_literal(self) -> None:
        self._count -= 1
        if not self._count:
            self._state = _State.STRING_END

    def _expect(self, byte: bytes, wanted: bytes, state: _State) -> None:
        self._state = state
        if byte != wanted:
            raise Refused

    def _is_text(self, byte: bytes) -> bool:
        try:
            self._decoder.decode(byte)
        except UnicodeDecodeError:
            self._decoder.reset()
            return False
        return True

    def _refuse_line_end(self, byte: bytes) -> None:
        if byte in _LINE_ENDS:
            raise Refused


def _is_atom(byte: bytes) -> bool:
    return b" " < byte < b"\x7f" and byte not in _NOT_IN_ATOMS
