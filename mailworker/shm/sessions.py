"""The session table: the open sessions, in rows that each worker writes for its own sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple

from mailworker.shm.lent import Lent, Readable
from mailworker.shm.session_row import ROW, SessionRow, parse
from mailworker.shm.shared import Writer

USE: Final = "session_table"
"""The directive that the table is for."""

HEAD: Final = 64
"""Bytes of the head of a worker's rows, in words of 64 bits, at the following places."""

CLAIMED: Final = 0
USED: Final = 1
"""The number of first rows that have had a session at any time."""
UNLISTED: Final = 2
"""The number of sessions without a row."""

Names = tuple[tuple[str, str], ...]
"""The names and protocols of the servers in a table, by their numbers."""

# The tries to read a row that is being written, before it is skipped, as its writer may have been killed.
_TRIES: Final = 3
_PAGE: Final = 4096
_WORDS: Final = ROW // 4


class _Plan(NamedTuple):
    """The layout, in bytes: heads of all workers, then their rows."""

    workers: int
    rows: int
    servers: Names

    @property
    def words(self) -> tuple[int, int, Names]:
        return self.workers, self.rows, self.servers

    @property
    def stride(self) -> int:
        return -self.rows * ROW // _PAGE * -_PAGE

    @property
    def first(self) -> int:
        return -self.workers * HEAD // _PAGE * -_PAGE

    @property
    def size(self) -> int:
        return self.first + self.workers * self.stride

    def head(self, worker: int) -> slice:
        return slice(worker * HEAD, (worker + 1) * HEAD)

    def all_rows(self, worker: int) -> slice:
        start = self.first + worker * self.stride
        return slice(start, start + self.rows * ROW)


class SessionTable(Lent[_Plan]):
    """Rows of sessions: `rows` for each of at most `workers` at one time; `servers` are the servers of sessions.

    A session keeps its row from accept to its end, so a reader finds each session that lasts meanwhile exactly once. A
    compromised worker can write anything anywhere: then readers may find sessions that do not exist, but take no longer
    than for a full table.

    If a reload or another binary changes the rows or servers, workers go on in the former table, which is read as well.
    """

    __slots__ = ("_worker",)

    kind = "sessions"
    layout = 3
    writer = Writer.ROW

    def __init__(self, name: str, rows: int, workers: int, servers: Sequence[tuple[str, str]]) -> None:
        """Raises StartError if the system has no memory."""
        super().__init__(name, _Plan(workers, rows, tuple(servers)))
        self._worker: int | None = None

    def rows(self) -> Iterator[SessionRow]:
        """All sessions; each row is read when the caller asks for it."""
        for each in self._readable:
            yield from _Table(each).rows()

    @property
    def unlisted(self) -> int:
        """The number of sessions without a row."""
        return sum(_Table(each).unlisted for each in self._readable)

    @property
    def own(self) -> tuple[memoryview, memoryview] | None:
        """The memory of this process: the head of its rows, and the rows; None if it has none."""
        if self._worker is None:
            return None
        memory, plan = memoryview(self._memory), self._plan
        return memory[plan.head(self._worker)], memory[plan.all_rows(self._worker)]

    def claim(self, row: int) -> None:
        """See Shared."""
        if row < self._plan.workers:
            self._head(row)[CLAIMED] = 1
            self._worker = row

    def free(self, row: int) -> None:
        """See Shared. Removes the sessions of the process."""
        plan = self._plan
        if row < plan.workers:
            head = self._head(row)
            used = min(head[USED], plan.rows) * ROW
            head[CLAIMED] = head[USED] = head[UNLISTED] = 0
            start = plan.all_rows(row).start
            memoryview(self._memory)[start : start + used] = bytes(used)

    @classmethod
    def _planned(cls, words: list[Any]) -> _Plan:
        workers, rows, servers = words
        return _Plan(workers, rows, tuple((label, protocol) for label, protocol in servers))

    def _adopt(self, former: Readable[_Plan]) -> None:
        """See Lent. A table of another binary is read even if it is empty, as it may get sessions."""
        if former.foreign or _Table(former).is_used:
            self._formers.append(former)

    @classmethod
    def _lends(cls, former: Readable[_Plan]) -> bool:
        """See Lent. An empty table of an earlier binary is not lent, as it gets no more sessions."""
        return _Table(former).is_used

    def _head(self, worker: int) -> memoryview:
        return memoryview(self._memory)[self._plan.head(worker)].cast("Q")


class _Table:
    """Reads a table."""

    __slots__ = ("_foreign", "_memory", "_plan")

    def __init__(self, readable: Readable[_Plan]) -> None:
        self._foreign = readable.foreign
        self._memory = memoryview(readable.memory)
        self._plan = readable.plan

    def rows(self) -> Iterator[SessionRow]:
        for worker in range(self._plan.workers):
            if self._word(worker, CLAIMED):
                yield from self._rows_of(worker, int(monotonic()))

    @property
    def is_used(self) -> bool:
        return any(self._word(worker, CLAIMED) for worker in range(self._plan.workers))

    @property
    def unlisted(self) -> int:
        most = 1 << 32  # only a compromised worker writes more
        counts = (self._word(worker, UNLISTED) for worker in range(self._plan.workers))
        return sum(count for count in counts if count < most)

    def _rows_of(self, worker: int, now: int) -> Iterator[SessionRow]:
        """The sessions of one worker. A row that is being written is tried again after the others."""
        view = self._memory[self._plan.all_rows(worker)]
        words = view.cast("I")
        numbers: Iterable[int] = range(min(self._word(worker, USED), self._plan.rows))
        for _ in range(_TRIES):
            late: list[int] = []
            for number in numbers:
                before, place = words[number * _WORDS], number * ROW
                data = bytes(view[place : place + ROW])
                if before & 1 or before != words[number * _WORDS]:
                    late.append(number)
                    continue
                row = parse(data, (worker, number), self._plan.servers, now, foreign=self._foreign)
                if row is not None:
                    yield row
            numbers = late

    def _word(self, worker: int, place: int) -> int:
        head = self._memory[self._plan.head(worker)].cast("Q")
        return head[place]
