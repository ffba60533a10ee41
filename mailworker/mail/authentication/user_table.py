"""The users of a passwd-file: its text and an index, in memory that all workers share.

A user is found without reading the file again. The index is a hash table with open addressing.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Generator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from mailworker.errors import escape
from mailworker.mail.authentication.cost import is_dear, seconds
from mailworker.mail.authentication.passwords import BadPassword, Stored, read_password
from mailworker.model import Level
from mailworker.wire.passwd_file import BrokenLine, PasswdRow, parse_line

# Length of the text, number of slots and of users, and the offset of the line whose password is checked for unknown
# users, if there is one.
_HEAD: Final = struct.Struct("<QQQQ")
# A name's hash, the offset, length and number of its line, and flags that are needed before the line is read.
_SLOT: Final = struct.Struct("<QQIII")
_FREE: Final = bytes(_SLOT.size)
_LOADED: Final = 2  # slots for each line

_DEAR: Final = 1
_LONGEST_LINE: Final = 65536

# Broken lines that are logged: a file in another format may have a million.
_MOST_TOLD: Final = 100

# Number of lines after which the event loop gets a turn.
_TURN: Final = 500

Complain = Callable[[Level, int, str], None]
"""Called with a level, the number of the wrong line, from 1, and the error."""


class User(NamedTuple):
    """A row, the number of its line, and whether its password takes too long for a worker to check."""

    row: PasswdRow
    line: int
    dear: bool


class UserTable:
    """Users in a buffer that `build` has made; a process that maps it reads only a few bytes for each login.

    `decoy` is a password that takes as long to check as most of the file's; it is checked for unknown users.
    """

    __slots__ = ("_memory", "_slots", "_text_end", "count", "decoy")

    count: int

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        length, self._slots, self.count, decoy = _HEAD.unpack_from(memory, 0)
        self._text_end = _HEAD.size + length
        self.decoy = self._read_decoy(decoy)

    def is_of(self, text: bytes) -> bool:
        """Whether it was built from that text."""
        return memoryview(self._memory)[_HEAD.size : self._text_end] == _ended(text)

    def find(self, name: bytes) -> User | None:
        """The user of that name; None if there is none."""
        wanted = _hash(name)
        place = wanted % self._slots
        while True:
            hashed, begin, length, number, flags = _SLOT.unpack_from(self._memory, self._text_end + place * _SLOT.size)
            if not number:
                return None
            if hashed == wanted:
                row = parse_line(self._memory[begin : begin + length])
                if row is not None and row.name == name:
                    return User(row, number, bool(flags & _DEAR))
            place = (place + 1) % self._slots

    def _read_decoy(self, place: int) -> Stored:
        row = parse_line(self._memory[place : place + _LONGEST_LINE].partition(b"\n")[0]) if place else None
        return read_password(b"" if row is None else row.password)


def build(text: bytes, complain: Complain) -> Generator[None, None, bytes]:
    """Build the buffer of a UserTable; yields now and then, so that the event loop gets a turn.

    Wrong lines are reported to `complain` and left out. Passwords that take too long to check are reported, too.
    """
    lines = _Lines(complain)
    begin = number = 0
    while begin < len(text):
        number += 1
        end = text.find(b"\n", begin)
        end = len(text) if end < 0 else end
        lines.add(number, begin, text[begin:end])
        begin = end + 1
        if number % _TURN == 0:
            yield
    lines.tell_of_dear()
    ended = _ended(text)
    slots = yield from _index(lines.found)
    head = _HEAD.pack(len(ended), len(slots) // _SLOT.size, len(lines.found), lines.decoy)
    lines.found.clear()  # takes more memory than all the rest
    return b"".join((head, ended, slots))


def _ended(text: bytes) -> bytes:
    return text if text.endswith(b"\n") else text + b"\n"


class _Lines:
    """The valid lines: for each name the contents of its slot, without the hash."""

    def __init__(self, complain: Complain) -> None:
        self.found: dict[bytes, tuple[int, int, int, int]] = {}
        self._broken = 0
        self._complain = complain
        self._dear: dict[str, tuple[int, int, float | None]] = {}
        self._kinds: Counter[str] = Counter()
        self._firsts: dict[str, int] = {}

    def add(self, number: int, begin: int, line: bytes) -> None:
        """Add a line, or complain about it."""
        try:
            if len(line) >= _LONGEST_LINE:
                raise BrokenLine("too long line")
            row = parse_line(line)
            if row is None:
                return
            if row.name in self.found:
                raise BrokenLine(f'user "{escape(row.name)}" is there already')
            stored = read_password(row.password)
        except (BrokenLine, BadPassword) as error:
            self._complain_of(number, str(error))
            return
        place = begin + _HEAD.size
        self.found[row.name] = place, len(line), number, self._weigh(stored, number, place)

    def _weigh(self, stored: Stored, number: int, place: int) -> int:
        if stored.work is None:
            return 0
        kind = stored.work.name
        if is_dear(stored):
            count, first, _ = self._dear.get(kind, (0, number, None))
            self._dear[kind] = count + 1, first, seconds(stored.work)
            return _DEAR
        self._kinds[kind] += 1
        self._firsts.setdefault(kind, place)
        return 0

    def _complain_of(self, number: int, reason: str) -> None:
        self._broken += 1
        if self._broken < _MOST_TOLD:
            self._complain(Level.ERROR, number, reason)
        elif self._broken == _MOST_TOLD:
            self._complain(Level.ERROR, number, f"{reason}, and what is wrong behind it is not told")

    def tell_of_dear(self) -> None:
        """Complain about passwords that take too long for a worker to check, once for each kind."""
        for kind, (count, first, needed) in self._dear.items():
            time = "too long" if needed is None else f"{needed * 1000:.0f}ms"
            others = " " if count == 1 else f", which {count} users have, "
            self._complain(Level.WARN, first, f"password by {kind}{others}takes {time} to check: logins with it fail")

    @property
    def decoy(self) -> int:
        """The offset of the first line with the most frequent kind of password, 0 if there is none."""
        ((kind, _),) = self._kinds.most_common(1) or [("", 0)]
        return self._firsts.get(kind, 0)


def _index(found: dict[bytes, tuple[int, int, int, int]]) -> Generator[None, None, bytearray]:
    count = len(found) * _LOADED + 1
    slots = bytearray(count * _SLOT.size)
    for turn, (name, rest) in enumerate(found.items(), 1):
        hashed = _hash(name)
        place = hashed % count
        while slots[place * _SLOT.size : (place + 1) * _SLOT.size] != _FREE:
            place = (place + 1) % count
        _SLOT.pack_into(slots, place * _SLOT.size, hashed, *rest)
        if turn % _TURN == 0:
            yield
    return slots


def _hash(name: bytes) -> int:
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little")
