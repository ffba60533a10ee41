"""Writing by one call of the system, in C where that was built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from mailworker.native.core import accelerator

__all__ = ["Direct", "written"]


class Sink(Protocol):
    """An open file, or a channel; another one may come in its place."""

    @property
    def descriptor(self) -> int: ...


def written(descriptor: int, data: bytes, /) -> int:
    """How many bytes of `data` one call of the system has taken. Raises OSError."""
    return os.write(descriptor, data)


class Direct:
    """Writes lines to a sink, each behind `head`. While it is `held` nobody is to write by it."""

    __slots__ = ("_head", "_sink", "held")

    def __init__(self, sink: Sink, head: bytes = b"", /) -> None:
        self._head = head
        self._sink = sink
        self.held = False

    def write(self, line: bytes, /) -> int:
        """How many bytes of `line` the system has taken. Raises OSError."""
        return max(written(self._sink.descriptor, self._head + line) - len(self._head), 0)


if accelerator is not None and not TYPE_CHECKING:
    Direct, written = accelerator.Direct, accelerator.written
