"""A session's coroutine, resumed straight from the poller; native/core/task.c has the task in C."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, Protocol

from mailworker.errors import MailworkerError
from mailworker.event.timers import Timed
from mailworker.native.core import accelerator

if TYPE_CHECKING:
    from mailworker.event.loop import Loop

__all__ = ["Task", "WaitUntil", "Waitable", "next_round", "sleep", "sleep_until", "wait_for"]


class Waitable(Protocol):
    """An object that a coroutine can wait for: a stream, a pause."""

    def park(self, task: Task) -> None:
        """Arrange for `task.resume` to be called, and set the task's deadline, `inf` for none.

        An exception of this method, such as MemoryError, is raised in the coroutine.
        """

    def timed_out(self) -> MailworkerError | None:
        """Called when the deadline has passed: the error to raise in the coroutine, None to resume it normally."""


class Task(Timed):
    """Runs one coroutine, which waits by yielding a Waitable. An exception of it is a bug, passed to `loop.on_bug`."""

    __slots__ = ("_coroutine", "_waits_for", "loop")

    def __init__(self, loop: Loop, coroutine: Coroutine[Any, None, None]) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._waits_for: Waitable | None = None  # None while the coroutine runs
        self.loop = loop

    def resume(self, error: Exception | None = None) -> None:
        """Resume the coroutine where it waits, by raising `error` there if one is given."""
        self._waits_for = None
        try:
            waitable: Any = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration:
            self.loop.cancel_deadline(self)
        except Exception as bug:
            self._report(bug)
        else:
            self._wait_for(waitable)

    def _wait_for(self, waitable: Waitable) -> None:
        self._waits_for = waitable
        try:
            waitable.park(self)
        except Exception as error:
            self.resume(error)

    def expire(self) -> None:
        """The deadline has passed."""
        if self._waits_for is not None:
            self.resume(self._waits_for.timed_out())

    def interrupt(self, error: MailworkerError) -> None:
        """Raise `error` where the coroutine waits, as if its deadline had passed; it may go on all the same."""
        if self._waits_for is not None:
            self._waits_for.timed_out()
            self.resume(error)

    def cancel(self) -> None:
        """End the coroutine where it waits."""
        self.loop.cancel_deadline(self)
        try:
            self._coroutine.close()
        except Exception as bug:
            self._report(bug)
        self._waits_for = None

    def _report(self, bug: Exception) -> None:
        self.loop.cancel_deadline(self)
        self.loop.on_bug(bug)


if accelerator is not None and not TYPE_CHECKING:
    Task = accelerator.Task


@types.coroutine
def wait_for(waitable: Waitable) -> Generator[Waitable, None, None]:
    """Suspend the running task until `waitable` resumes it."""
    yield waitable


class WaitUntil:
    """Lets a task wait until `deadline`, in seconds of the monotonic clock; `task` is the task as soon as it waits."""

    __slots__ = ("deadline", "task")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.task: Task | None = None

    def park(self, task: Task) -> None:
        """See `Waitable`."""
        self.task = task
        task.loop.set_deadline(task, self.deadline)

    def timed_out(self) -> MailworkerError | None:
        """See `Waitable`: the time has come, which is no error unless a derived class says so."""
        return None


class _Pause(WaitUntil):
    """Lets a task wait for a time in seconds, from now on."""

    __slots__ = ()

    def park(self, task: Task) -> None:
        self.deadline += task.loop.now
        super().park(task)


async def sleep(seconds: float) -> None:
    """Suspend the running task for `seconds`."""
    await wait_for(_Pause(seconds))


async def sleep_until(deadline: float) -> None:
    """Suspend the running task until `deadline`, a monotonic time in seconds.

    What follows may count from the loop's time, which is not before the deadline then.
    """
    await wait_for(WaitUntil(deadline))


class _Turn:
    """Lets a task wait for the next round of the loop. `over`: the task goes on, or has ended."""

    __slots__ = ("_task", "over")

    _task: Task

    def __init__(self) -> None:
        self.over = False

    def park(self, task: Task) -> None:
        """See `Waitable.park`."""
        self._task = task
        task.loop.cancel_deadline(task)
        task.loop.again(self)

    def timed_out(self) -> None:
        """The task has no deadline."""

    def ready(self, _events: int) -> None:
        """The loop calls in the next round."""
        if not self.over:
            self._task.resume()


async def next_round() -> None:
    """Suspend the running task until the loop has served all other tasks that are ready."""
    turn = _Turn()
    try:
        await wait_for(turn)
    finally:
        turn.over = True
