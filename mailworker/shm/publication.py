"""Memory that the master writes to, and that its workers can only read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Any

from mailworker.native.mapping import map_read_only
from mailworker.shm.anonymous import anonymous
from mailworker.shm.memory_file import MemoryFile, file_of
from mailworker.shm.sealed import make_file


class Publication:
    """Memory, zeros at first, in which all processes that are forked later can read what is published.

    No process maps it for writing, so forked processes cannot inherit such a mapping. It is a file in memory (memfd)
    that only this process's user may open, and that is open for writing only during `publish`. `memory` is a buffer.

    If the system has no such files, forked processes can write to the memory; `failure` is the reason, else None.
    """

    __slots__ = ("_file", "failure", "memory")

    def __init__(self, name: str, size: int) -> None:
        """`name` is shown in /proc/PID/maps, `size` is in bytes. Raises StartError without memory."""
        self.failure: str | None = None
        self.memory: Any
        self._file: MemoryFile | None = None
        try:
            self._file = MemoryFile(make_file(name, lambda writable: os.ftruncate(writable, size), sealed=False))
            self.memory = map_read_only(self._file.descriptor, size)
        except OSError as error:
            self.stop()
            self.failure = f"memory that workers can only read is refused ({error.errno}: {error.strerror})"
            self.memory = anonymous(size)

    @property
    def descriptor(self) -> int | None:
        """The descriptor that must stay open for `publish`, None if there is none."""
        return None if self._file is None else self._file.descriptor

    def publish(self, parts: Iterable[tuple[int, bytes]]) -> None:
        """Write each content at its place, in bytes, in the order of `parts`; raises OSError."""
        if self.failure is not None:
            for place, content in parts:
                self.memory[place : place + len(content)] = content
            return
        if self._file is None:
            raise _closed()
        writable = os.open(f"/proc/self/fd/{self._file.descriptor}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            # Other code may have closed the descriptor, so that another file has its number.
            if file_of(writable) != self._file.identity:
                raise _closed()
            for place, content in parts:
                os.pwrite(writable, content, place)
        finally:
            os.close(writable)

    def stop(self) -> None:
        """Close the descriptor of the file; `memory` remains mapped."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _closed() -> OSError:
    return OSError(errno.EBADF, os.strerror(errno.EBADF))
