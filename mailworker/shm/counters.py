"""Counters of processes. Each process has a row of its own; the master adds up the rows of ended processes."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mailworker.shm.lent import Lent, Readable
from mailworker.shm.shared import Writer

USE: Final = "status"
"""The directive that counters are for."""

LATEST: Final = "latest"
"""The prefix of the names of words whose total is the maximum of all rows, and not the sum."""

MOST: Final = 1 << 62
"""A bound that no counter reaches: greater values were written by a compromised worker."""

ROWS: Final = 1024
"""Rows for workers and helpers of all cycles at one time; a process without a row does not count."""

# The marks that a process writes beside its row.
CLAIMED: Final = 1
SERVES: Final = 2

_WORD: Final = 8  # bytes
_LINE: Final = 8  # words: a row begins at a cache line
# The header: a sequence number that is odd while the master changes the sums, whether another binary shows these
# counters now, and words of the master.
_HEADER: Final = 64
_SEQUENCE: Final = 0
_DISPLACED: Final = 1
_MASTER: Final = 2
# Bits of a word that counters reach after centuries. Rows without them are added as long numbers, as no word of a sum
# of ROWS rows can overflow into the next one.
_RARE: Final = 0x7FF << 53
# The number of tries to read without a change meanwhile, and seconds between them.
_TRIES: Final = 10
_PAUSE: Final = 0.001


class Reading(NamedTuple):
    """All counters at one time, by name.

    `totals` are those of all processes since the start, `living` those of running processes; `rows` are the numbers of
    their rows.
    """

    totals: dict[str, int]
    living: dict[str, int]
    rows: list[int]


class _Plan:
    """The layout, in words: header, marks, the master's entries for rows, sums, and rows."""

    __slots__ = ("first", "latest", "marks", "places", "rare", "retired", "roster", "size", "stride", "words")

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.places = {name: place for place, name in enumerate(words)}
        self.rare = _as_one(_words([_RARE] * len(words)))
        self.latest = [place for name, place in self.places.items() if name.startswith(LATEST)]
        self.stride = -len(words) // _LINE * -_LINE
        self.marks = _HEADER
        self.roster = self.marks + ROWS
        self.retired = self.roster + ROWS
        self.first = self.retired + self.stride
        self.size = (self.first + ROWS * self.stride) * _WORD

    def row(self, number: int) -> int:
        return self.first + number * self.stride

    def join(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """The totals of several rows, or of sums of them."""
        values = [*map(sum, zip(*rows, strict=True))]
        if max(values, default=0) >= MOST:
            values = [min(value, MOST - 1) for value in values]
        return self._keep_latest(values, rows)

    def add(self, rows: Sequence[memoryview]) -> list[int]:
        """As `join`, for rows in shared memory, where a compromised worker may have written anything."""
        numbers = [*map(_as_one, rows)]
        if not numbers or any(number & self.rare for number in numbers):
            return self.join([[*map(_clipped, row.tolist())] for row in rows]) if rows else [0] * len(self.words)
        values = sum(numbers).to_bytes(len(self.words) * _WORD, sys.byteorder)
        return self._keep_latest(memoryview(values).cast("Q").tolist(), rows)

    def _keep_latest(self, values: list[int], rows: Sequence[Sequence[int]]) -> list[int]:
        for place in self.latest:
            values[place] = max(row[place] for row in rows)
        return values


class Counters(Lent[_Plan]):
    """Counters of 64 bits; `words` are the names of those in a row. `claim` gives a process its row.

    A word is written atomically, by a memoryview. A compromised worker can write anything anywhere, so an impossible
    number is read as 0.

    If a reload or another binary has other words, there are new counters. Processes with rows in the former counters go
    on there, and these are read as well. If the master has ended, or the system has no memfd, another binary begins at
    0.
    """

    __slots__ = ("_row", "_sequence", "row")

    kind = "counters"
    layout = 1
    writer = Writer.ROW

    def __init__(self, name: str, words: Sequence[str]) -> None:
        """Raises StartError if the system has no memory."""
        super().__init__(name, _Plan(words))
        self.row: memoryview | None = None
        self._row: int | None = None
        self._sequence = 0

    @property
    def words(self) -> Sequence[str]:
        """The names of a row's words."""
        return self._plan.words

    def place(self, name: str) -> int:
        """The index of a counter in a row. Raises KeyError."""
        return self._plan.places[name]

    def claim(self, row: int) -> None:
        """See Shared."""
        if row < ROWS:
            view = self._view()
            start = self._plan.row(row)
            self.row = view[start : start + len(self.words)]
            view[self._plan.marks + row] = CLAIMED
            self._row = row

    def serve(self) -> None:
        """Mark the row of this process, which serves now."""
        if self._row is not None:
            self._view()[self._plan.marks + self._row] = SERVES

    def free(self, row: int) -> None:
        """See Shared. Adds the row to the sums."""
        view, plan = self._view(), self._plan
        if row >= ROWS or not view[plan.marks + row]:
            return
        self._sequence += 1
        own, sums = (view[start : start + plan.stride] for start in (plan.row(row), plan.retired))
        view[_SEQUENCE] = self._sequence
        sums[:] = _words(plan.join([[*map(_clipped, each.tolist())] for each in (sums, own)]))
        own[:] = _words([0] * plan.stride)
        view[plan.marks + row] = 0
        self._sequence += 1
        view[_SEQUENCE] = self._sequence

    def add(self, name: str, amount: int = 1) -> None:
        """Count an event of the master; only the master calls this."""
        view, place = self._view(), self._plan.retired + self.place(name)
        view[place] = _joined(name, view[place], amount)

    def post(self, entries: Mapping[int, int]) -> None:
        """Write the master's entries for processes, by their rows, 62 bits each; only the master calls this."""
        roster = [0] * ROWS
        for row, entry in entries.items():
            if row < ROWS:
                roster[row] = entry
        start = self._plan.roster
        self._view()[start : start + ROWS] = _words(roster)

    def posted(self) -> dict[int, tuple[int, bool]]:
        """The master's entries by row, and whether each process has called `serve`."""
        view, plan = self._view(), self._plan
        roster, marks = (view[start : start + ROWS].tolist() for start in (plan.roster, plan.marks))
        return {row: (_clipped(entry), marks[row] == SERVES) for row, entry in enumerate(roster) if entry}

    def word_of(self, row: int, name: str) -> int:
        """A counter of a process."""
        return _clipped(self._view()[self._plan.row(row) + self.place(name)])

    @property
    def displaces(self) -> bool:
        """Whether another binary shows counters that are read here as well."""
        return any(former.foreign for former in self._formers)

    def displace(self) -> None:
        """Tell the other binary that its counters are shown here now."""
        for former in self._formers:
            if former.foreign:
                memoryview(former.memory).cast("Q")[_DISPLACED] = 1

    @property
    def displaced(self) -> bool:
        """Whether another binary shows these counters now."""
        return self._view()[_DISPLACED] == 1

    def reclaim(self) -> None:
        """Show the counters here again, as the other binary has ended; only the master calls this."""
        self._view()[_DISPLACED] = 0

    def set_master_word(self, number: int, value: int) -> None:
        """Write word `number`, from 0 on, of the master; only the master calls this."""
        self._view()[_MASTER + number] = value

    def master_word(self, number: int) -> int:
        """Word `number` of the master."""
        return _clipped(self._view()[_MASTER + number])

    def read(self) -> Reading:
        """All counters, including former ones."""
        own, *others = (_read(each.plan, each.memory) for each in self._readable)
        for other in others:
            for found, values in ((own.totals, other.totals), (own.living, other.living)):
                for name in found.keys() & values.keys():
                    found[name] = _joined(name, found[name], values[name])
            own.rows.extend(other.rows)
        return own

    @classmethod
    def _planned(cls, words: list[Any]) -> _Plan:
        return _Plan(words)

    def _adopt(self, former: Readable[_Plan]) -> None:
        """See Lent. Former counters that no process uses any more are added to these."""
        reading = _read(former.plan, former.memory)
        if reading.rows:
            self._formers.append(former)
            return
        for name, value in reading.totals.items():
            if value and name in self._plan.places:
                self.add(name, value)

    def _view(self) -> memoryview:
        return memoryview(self._memory).cast("Q")


def _read(plan: _Plan, memory: Any) -> Reading:
    """The counters without a change by the master meanwhile; if it was killed, a change may be unfinished."""
    view = memoryview(memory).cast("Q")
    for _ in range(_TRIES):
        for _ in range(_TRIES):
            if not (before := view[_SEQUENCE]) & 1:
                break
            time.sleep(_PAUSE)
        found = _read_once(plan, view)
        if before == view[_SEQUENCE]:
            break
    return found


def _read_once(plan: _Plan, view: memoryview) -> Reading:
    def words(start: int) -> memoryview:
        return view[start : start + len(plan.words)]

    numbers = [number for number, mark in enumerate(view[plan.marks : plan.marks + ROWS].tolist()) if mark]
    living = plan.add([words(plan.row(number)) for number in numbers])
    total = plan.join([[*map(_clipped, words(plan.retired).tolist())], living])
    return Reading(dict(zip(plan.words, total, strict=True)), dict(zip(plan.words, living, strict=True)), numbers)


def _as_one(row: memoryview) -> int:
    """The words of a row as one long number."""
    return int.from_bytes(row, sys.byteorder)


def _clipped(value: int) -> int:
    return value if value < MOST else 0


def _joined(name: str, one: int, other: int) -> int:
    one, other = _clipped(one), _clipped(other)
    return max(one, other) if name.startswith(LATEST) else min(one + other, MOST - 1)


def _words(values: Iterable[int]) -> memoryview:
    return memoryview(array("Q", values))
