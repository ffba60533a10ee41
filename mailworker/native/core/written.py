"""Writing by one system call, in C if the C module was built."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

from mailworker.native.core import accelerator

__all__ = ["Direct"]


class Sink(Protocol):
    """An open file, or a channel; its descriptor may change."""

    @property
    def descriptor(self) -> int: ...


class Direct:
    """Writes lines to a sink, each after `head`. While it is `held` it must not be used.

    Lines of more than `longest` bytes are refused by EMSGSIZE; 0 means that there is no limit.
    """

    __slots__ = ("_head", "_longest", "_sink", "held")

    def __init__(self, sink: Sink, head: bytes = b"", longest: int = 0, /) -> None:
        self._head = head
        self._longest = longest
        self._sink = sink
        self.held = False

    def write(self, line: bytes, /) -> int:
        """Write a line; returns how many bytes of `line` the system has taken. Raises OSError."""
        if self._longest and len(line) > self._longest:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        return max(os.write(self._sink.descriptor, self._head + line) - len(self._head), 0)


if accelerator is not None and not TYPE_CHECKING:
    Direct = accelerator.Direct
