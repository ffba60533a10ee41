"""Shared memory for the TLS session cache of all workers."""

from __future__ import annotations

from collections.abc import Iterable

from mailworker.shm.anonymous import anonymous, fill
from mailworker.shm.shared import Shared, Writer


class TlsSessions(Shared):
    """Memory for TLS sessions, zeros at first, for this process and all that are forked later.

    A compromised worker can write anything there. The master reads nothing of it.

    It has no name and no descriptor, so it exists as long as a process that maps it. Users must keep `memory`, and not
    a memoryview, as Python before 3.12 crashes if the garbage collector frees an object with a memoryview.
    """

    __slots__ = ("memory", "size")

    kind = "TLS sessions"
    layout = 1
    writer = Writer.ALL

    def __init__(self, name: str, size: int) -> None:
        """`size` is in bytes; raises StartError if the system has no such memory."""
        super().__init__(name)
        self.size = size
        self.memory = anonymous(size)

    def contents(self) -> Iterable[memoryview]:
        """See Shared."""
        return (memoryview(self.memory),)

    def take_over(self, contents: bytes) -> None:
        """See Shared; a copy of another size is ignored."""
        if len(contents) == self.size:
            fill(self.memory, contents)
