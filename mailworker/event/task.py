"""A session's coroutine, resumed straight from the selector."""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Protocol

from mailworker.errors import MailworkerError
from mailworker.native.core.tasks import Task

__all__ = ["Pause", "Task", "Waitable", "sleep", "wait_for"]


class Waitable(Protocol):
    """What a coroutine can wait for: a stream, a pause."""

    def park(self, task: Task) -> None:
        """Arrange for `task.resume` to be called, and set the task's deadline, `inf` for none; raises nothing."""

    def timed_out(self) -> MailworkerError | None:
        """The deadline passed: the error to raise in the coroutine, None to resume it normally."""


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
