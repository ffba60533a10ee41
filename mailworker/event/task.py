"""A session's coroutine, resumed straight from the selector."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Protocol

from mailworker.errors import MailworkerError
from mailworker.event.loop import Loop
from mailworker.event.timers import Timed


class Waitable(Protocol):
    """What a coroutine can wait for: a stream, a pause."""

    def park(self, task: Task) -> None:
        """Arrange for `task.resume` to be called, and set the task's deadline, `inf` for none; raises nothing."""

    def timed_out(self) -> MailworkerError | None:
        """The deadline passed: the error to raise in the coroutine, None to resume it normally."""


class Task(Timed):
    """Runs one coroutine. It suspends itself by `wait_for`, and what it waits for resumes it."""

    __slots__ = ("_coroutine", "_waits_for", "loop")

    def __init__(self, loop: Loop, coroutine: Coroutine[Waitable, None, None]) -> None:
        super().__init__()
        self.loop = loop
        self._coroutine = coroutine
        self._waits_for: Waitable | None = None

    def resume(self, error: MailworkerError | None = None) -> None:
        """Run the coroutine until it waits again or ends; `error` is raised where it waits."""
        self._waits_for = None
        try:
            waits_for = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            self.loop.cancel_deadline(self)
        except Exception as bug:
            self.loop.cancel_deadline(self)
            self.loop.on_bug(bug)
        else:
            self._waits_for = waits_for
            waits_for.park(self)

    def expire(self) -> None:
        """The deadline has passed."""
        if self._waits_for is not None:
            self.resume(self._waits_for.timed_out())

    def cancel(self) -> None:
        """End the coroutine where it waits; its `finally` blocks run, must not wait, and close what it waited for."""
        self.loop.cancel_deadline(self)
        try:
            self._coroutine.close()
        except Exception as bug:
            self.loop.on_bug(bug)


@types.coroutine
def wait_for(waitable: Waitable) -> Generator[Waitable, None, None]:
    """Suspend the running task until `waitable` resumes it."""
    yield waitable


class Pause:
    """Lets a task wait for a time in seconds."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def park(self, task: Task) -> None:
        """Resume `task` when the time is over."""
        task.loop.set_deadline(task, task.loop.now + self._seconds)

    def timed_out(self) -> None:
        """The time is over, which is no error."""


async def sleep(seconds: float) -> None:
    """Suspend the running task for `seconds`."""
    await wait_for(Pause(seconds))
