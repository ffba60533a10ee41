"""A DNS lookup that all tasks with the same question share, and a cache of answers."""

from __future__ import annotations

import errno
from collections.abc import Coroutine
from math import inf
from typing import Any

from mailworker.errors import NotResolved
from mailworker.event.loop import Loop
from mailworker.event.task import Task, WaitUntil, wait_for
from mailworker.wire.dns import Question

Records = tuple[bytes, ...]


class Lookup:
    """Finds the answer to one question in a task of its own, which is cancelled when no task waits for it any more."""

    __slots__ = ("_outcome", "_task", "_waiting")

    def __init__(self) -> None:
        self._outcome: Records | NotResolved | None = None
        self._task: Task | None = None
        self._waiting: dict[_Waiter, None] = {}

    def begin(self, loop: Loop, work: Coroutine[Any, None, None]) -> None:
        """Start `work`, which calls `end`; it is closed as soon as no task waits for the answer."""
        self._task = Task(loop, work)
        self._task.resume()

    def end(self, outcome: Records | NotResolved) -> None:
        """Resume all tasks that wait."""
        self._outcome = outcome
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if waiter.task is not None:
                waiter.task.resume()

    async def result(self, deadline: float) -> Records:
        """The answer; waits for it up to `deadline`. Raises NotResolved."""
        if self._outcome is None:
            waiter = _Waiter(deadline)
            self._waiting[waiter] = None
            try:
                await wait_for(waiter)
            finally:
                self._leave(waiter)
        assert self._outcome is not None
        if isinstance(self._outcome, NotResolved):
            raise self._outcome.with_traceback(None)
        return self._outcome

    def _leave(self, waiter: _Waiter) -> None:
        self._waiting.pop(waiter, None)
        if self._outcome is None and not self._waiting and self._task is not None:
            self._task.cancel()


class _Waiter(WaitUntil):
    """A task that waits for a lookup."""

    __slots__ = ()

    def timed_out(self) -> NotResolved:
        """The deadline has passed."""
        return NotResolved(errno.ETIMEDOUT, "Operation timed out")


class Cache:
    """Keeps answers until they expire: at most `size`, with at most `most_records` records. The oldest go first."""

    __slots__ = ("_entries", "_most_records", "_records", "_size")

    def __init__(self, size: int, most_records: int) -> None:
        self._entries: dict[Question, tuple[float, Records]] = {}
        self._most_records = most_records
        self._records = 0
        self._size = size

    def get(self, question: Question, now: float) -> Records | None:
        """The records; None if they are unknown or have expired."""
        expires, records = self._entries.get(question, (inf, None))
        return records if now < expires else None

    def put(self, question: Question, records: Records, expires: float) -> None:
        """Keep `records` until `expires`, a monotonic time in seconds."""
        if question in self._entries:
            self._remove(question)
        self._entries[question] = expires, records
        self._records += len(records)
        while len(self._entries) > self._size or self._records > self._most_records:
            self._remove(next(iter(self._entries)))

    def _remove(self, question: Question) -> None:
        self._records -= len(self._entries.pop(question)[1])
