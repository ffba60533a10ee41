"""Refusals that are delayed and then sent together in random order, so that their timing reveals nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import ceil
from typing import Final

from mailworker.event.loop import Loop
from mailworker.event.task import Task, wait_for
from mailworker.event.timers import Timed

TICK: Final = 0.5
"""Seconds from one release to the next, as in Dovecot."""


_shuffle: Final = random.SystemRandom().shuffle


class Shuffled:
    """The waiting refusals of one worker, by the clock of `loop`."""

    __slots__ = ("_shuffle", "_waiting", "loop")

    def __init__(self, loop: Loop, shuffle: Callable[[list[Task]], None] = _shuffle) -> None:
        self.loop = loop
        self._shuffle = shuffle
        self._waiting: dict[float, list[Task]] = {}

    async def hold(self, until: float) -> None:
        """Wait for the first release that is not before `until`, a time of the loop's clock."""
        release = ceil(max(until, self.loop.now) / TICK) * TICK
        if release <= self.loop.now:
            release += TICK
        await wait_for(_Place(self, release))

    def join(self, task: Task, release: float) -> None:
        """Let `task` wait for that release."""
        waiting = self._waiting.get(release)
        if waiting is None:
            waiting = self._waiting[release] = []
            self.loop.set_deadline(_Release(self, release), release)
        waiting.append(task)

    def leave(self, task: Task, release: float) -> None:
        """Let `task` no longer wait for that release: it goes on for another reason, as an administrator ends it."""
        self._waiting[release].remove(task)

    def release(self, release: float) -> None:
        """Wake the tasks of that release, in random order."""
        tasks = self._waiting.pop(release)
        self._shuffle(tasks)
        for task in tasks:
            task.resume()


class _Release(Timed):
    __slots__ = ("_release", "_shuffled")

    def __init__(self, shuffled: Shuffled, release: float) -> None:
        super().__init__()
        self._shuffled = shuffled
        self._release = release

    def expire(self) -> None:
        """The timer's call."""
        self._shuffled.release(self._release)


class _Place:
    """See `Waitable`."""

    __slots__ = ("_release", "_shuffled", "_task")

    _task: Task

    def __init__(self, shuffled: Shuffled, release: float) -> None:
        self._shuffled = shuffled
        self._release = release

    def park(self, task: Task) -> None:
        """Let the task wait for the release, without a deadline."""
        task.loop.cancel_deadline(task)
        self._task = task
        self._shuffled.join(task, self._release)

    def timed_out(self) -> None:
        """See `Waitable`: it has no deadline, so the task is interrupted."""
        self._shuffled.leave(self._task, self._release)
