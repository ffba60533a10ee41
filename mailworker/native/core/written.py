"""Writing by one system call, in C where the C module was built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from mailworker.native.core import accelerator

__all__ = ["Direct", "written"]


class Sink(Protocol):
    """An open file, or a channel; its descriptor may change."""

    @property
    def descriptor(self) -> int: ...


def written(descriptor: int, data: bytes, /) -> int:
    """Write by one system call; gives how many bytes of `data` it has taken. Raises OSError."""
    return os.write(descriptor, data)


class Direct:
    """Writes lines to a sink, each after `head`. While it is `held` it must not be used."""

    __slots__ = ("_head", "_sink", "held")

    def __init__(self, sink: Sink, head: bytes = b"", /) -> None:
        self._head = head
        self._sink = sink
        self.held = False

    def write(self, line: bytes, /) -> int:
        """Write a line; gives how many bytes of `line` the system has taken. Raises OSError."""
        return max(written(self._sink.descriptor, self._head + line) - len(self._head), 0)


if accelerator is not None and not TYPE_CHECKING:
    Direct, written = accelerator.Direct, accelerator.written
