"""A kind of zone that the program does not have: a number of each worker's own, of which nothing is lost."""

from __future__ import annotations

from collections.abc import Iterable
from mmap import mmap
from struct import Struct

from mailworker.shm.anonymous import anonymous
from mailworker.shm.shared import Shared, Writer

COUNT = Struct("=Q")
MOST = 1 << 53
"""What nobody can have counted: somebody else has written that."""


class Counters(Shared):
    """`rows` workers count, each in its row; before them the master keeps what those had that are gone."""

    __slots__ = ("_row", "_rows", "memory")

    kind = "counters"
    layout = 1
    writer = Writer.ROW

    def __init__(self, name: str, rows: int, memory: mmap | None = None) -> None:
        super().__init__(name)
        self.memory = memory or anonymous(COUNT.size * (rows + 1))
        self._row: int | None = None
        self._rows = rows

    def count(self) -> None:
        if self._row is not None:
            self._write(self._row, self[self._row] + 1)

    def __getitem__(self, row: int) -> int:
        """What a row holds, -1 being the master's; 0 where that cannot be."""
        (value,) = COUNT.unpack_from(self.memory, COUNT.size * (row + 1))
        return value if 0 <= value < MOST else 0

    @property
    def total(self) -> int:
        return sum(self[row] for row in range(-1, self._rows))

    def claim(self, row: int) -> None:
        self._row = row if row < self._rows else None

    def free(self, row: int) -> None:
        if row < self._rows:
            self._write(-1, self[-1] + self[row])
            self._write(row, 0)

    def contents(self) -> Iterable[bytes]:
        return (COUNT.pack(self.total),)

    def take_over(self, contents: bytes) -> None:
        if len(contents) == COUNT.size:
            (value,) = COUNT.unpack(contents)
            self._write(-1, value if value < MOST else 0)

    def _write(self, row: int, value: int) -> None:
        COUNT.pack_into(self.memory, COUNT.size * (row + 1), value)
