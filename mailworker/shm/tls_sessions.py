"""Shared memory for the TLS session cache of all workers."""

from __future__ import annotations

from collections.abc import Iterable

from mailworker.shm.anonymous import anonymous, fill
from mailworker.shm.shared import Shared, Writer


class TlsSessions(Shared):
    """TLS sessions in memory that this process and all that it forks later can write; zeros at first.

    A compromised worker can write anything there. The master reads nothing of it.

    It has no name in any file system and no descriptor: the kernel frees it when the last process that has mapped it
    has ended. An object that uses it keeps `memory`, not a view: Python before 3.12 crashes where its garbage collector
    meets a memoryview in an object that is to be freed.
    """

    __slots__ = ("memory", "size")

    kind = "TLS sessions"
    layout = 1
    writer = Writer.ALL

    def __init__(self, name: str, size: int) -> None:
        """`size` in bytes; raises StartError where the system has no such memory."""
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
