"""The users of a passwd-file, found without reading it again: its text and an index, in memory that all share.

The index is a table of slots, of which a name's hash tells the first to look at (open addressing).
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

# Length of the text, number of slots and of users, and the place of a line, if any, whose password stands for that of
# the unknown.
_HEAD: Final = struct.Struct("<QQQQ")
# A name's hash, the place of its line and the length of that, the line's number, and what is to be known of it before.
_SLOT: Final = struct.Struct("<QQIII")
_FREE: Final = bytes(_SLOT.size)
_LOADED: Final = 2  # slots for each line

_DEAR: Final = 1
_LONGEST_LINE: Final = 65536

# Broken lines that the log hears of: a file of another kind may have a million.
_MOST_TOLD: Final = 100

# Lines after which others have their turn.
_TURN: Final = 500

Complain = Callable[[Level, int, str], None]
"""Called with the number of a wrong line, from 1, and with what is wrong."""


class User(NamedTuple):
    """A row, the number of its line, and whether its password is too dear for a worker to check."""

    row: PasswdRow
    line: int
    dear: bool


class UserTable:
    """Users in a buffer that `build` has made; a process that has it mapped reads a few bytes of it for each login.

    `decoy` is a password as dear as most of the file, which is checked for a user who is not in the file.
    """

    __slots__ = ("_memory", "_slots", "_text_end", "count", "decoy")

    count: int

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        length, self._slots, self.count, decoy = _HEAD.unpack_from(memory, 0)
        self._text_end = _HEAD.size + length
        self.decoy = self._read_decoy(decoy)

    def find(self, name: bytes) -> User | None:
        """The user of that name; None where there is none."""
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
    """What a UserTable is made of; yields now and then, so that others have their turn.

    Lines that are wrong are left out when `complain` has been told of them; so it is of work that is too much.
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
    ended = text if text.endswith(b"\n") else text + b"\n"
    slots = yield from _index(lines.found)
    return _HEAD.pack(len(ended), len(slots) // _SLOT.size, len(lines.found), lines.decoy) + ended + slots


class _Lines:
    """The lines that count: each name's hash, and its slot without that."""

    def __init__(self, complain: Complain) -> None:
        self.found: dict[bytes, tuple[int, int, int, int]] = {}
        self._broken = 0
        self._complain = complain
        self._dear: dict[str, tuple[int, int, float | None]] = {}
        self._kinds: Counter[str] = Counter()
        self._firsts: dict[str, int] = {}

    def add(self, number: int, begin: int, line: bytes) -> None:
        """Take a line, or complain."""
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
        """Complain of passwords that no worker will check, once for each kind."""
        for kind, (count, first, needed) in self._dear.items():
            time = "too long" if needed is None else f"{needed * 1000:.0f}ms"
            others = " " if count == 1 else f", which {count} users have, "
            self._complain(Level.WARN, first, f"password by {kind}{others}takes {time} to check: logins fail for now")

    @property
    def decoy(self) -> int:
        """The place of the first line of the most frequent kind, 0 without any."""
        ((kind, _),) = self._kinds.most_common(1) or [("", 0)]
        return self._firsts.get(kind, 0)


def _index(found: dict[bytes, tuple[int, int, int, int]]) -> Generator[None, None, bytes]:
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
    return bytes(slots)


def _hash(name: bytes) -> int:
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little")
