"""Work in steps: generators of seconds to be resumed after, so that others of the process have their turn."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

# Seconds of work after which others have their turn.
_TURN = 0.05


class Pauses:
    """Those of one piece of work; the first is due a turn from now."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = monotonic() + _TURN

    def due(self) -> Iterator[float]:
        """A step, if a pause is due; what is behind it counts from its end."""
        if monotonic() >= self._next:
            yield 0.0
            self._next = monotonic() + _TURN


def at_once(steps: Generator[object, None, T]) -> T:
    """What steps come to for somebody who need not let others have their turn."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
