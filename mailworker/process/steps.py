"""Long work in steps: generators that yield seconds to wait, so that the process can do other work meanwhile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from time import monotonic
from typing import Generic, TypeVar

from mailworker.model import After

T = TypeVar("T")

# Seconds of work before a pause.
_TURN = 0.05


class Pauses:
    """The pauses of long work, one after each _TURN."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = monotonic() + _TURN

    def due(self) -> Iterator[float]:
        """Yield once if a pause is due."""
        if monotonic() >= self._next:
            yield 0.0
            self._next = monotonic() + _TURN


class UnderWay(ABC, Generic[T]):
    """Runs steps.

    `after(seconds, action)` arranges for a call later. `finished` is called with the result.
    """

    __slots__ = ("_after", "_finished", "_steps")

    def __init__(self, after: After, finished: Callable[[T], None]) -> None:
        self._after = after
        self._finished = finished
        self._steps: Generator[float, None, T] | None = None

    def run(self) -> None:
        """Begin. `finished` may be called before this returns."""
        try:
            self._steps = self._work()
        except MemoryError as bug:
            self._finished(self._fail(bug))
        else:
            self._go_on()

    def abandon(self) -> None:
        """Stop; `finished` will not be called."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    @abstractmethod
    def leave(self) -> None:
        """Close, in a child that is forked meanwhile, what only the master needs."""

    @abstractmethod
    def _work(self) -> Generator[float, None, T]:
        """The steps."""

    @abstractmethod
    def _fail(self, bug: Exception) -> T:
        """Log an exception of the steps, such as a lack of memory, and return what `finished` is called with."""

    def _go_on(self) -> None:
        if self._steps is None:
            return  # abandoned while it waited
        try:
            self._after(next(self._steps), self._go_on)
            return
        except StopIteration as end:
            result: T = end.value
        except Exception as bug:
            self._steps.close()
            result = self._fail(bug)
        self._finished(result)


def at_once(steps: Generator[object, None, T]) -> T:
    """The result of steps, for callers that may block."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
