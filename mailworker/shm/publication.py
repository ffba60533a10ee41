"""Memory that the master writes and that its workers can only read."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from mailworker.native.mapping import map_read_only
from mailworker.shm.anonymous import anonymous
from mailworker.shm.sealed import make_file


class Publication:
    """Zeros at first; what is published is seen by all processes that are forked later.

    No process has it mapped for writing, so those that are forked inherit nothing that they would have to give up. It
    is a file in memory that belongs to this process's user, who alone may open it, and is opened for writing only
    while something is published. `memory` is a buffer.

    A system without such files, or one that refuses them, gives memory that those who are forked could write as well;
    `failure` then says why, else it is None.
    """

    __slots__ = ("__weakref__", "_close", "_descriptor", "_file", "failure", "memory")

    def __init__(self, name: str, size: int) -> None:
        """`name` is what the kernel calls it in its lists, `size` is in bytes. Raises StartError without memory."""
        self.failure: str | None = None
        self.memory: Any
        self._descriptor: int | None = None
        try:
            self._descriptor = make_file(name, lambda writable: os.ftruncate(writable, size), sealed=False)
            self._file = file_of(self._descriptor)
            self._close = weakref.finalize(self, close_file, self._descriptor, self._file)
            self._close.atexit = False
            self.memory = map_read_only(self._descriptor, size)
        except OSError as error:
            self.stop()
            self.failure = f"memory that workers can only read is refused ({error.errno}: {error.strerror})"
            self.memory = anonymous(size)

    @property
    def descriptor(self) -> int | None:
        """What must stay open to publish, None where nothing must."""
        return self._descriptor

    def publish(self, parts: Iterable[tuple[int, bytes]]) -> None:
        """Write each content at its place, counted in bytes, one after the other; raises OSError."""
        if self.failure is not None:
            for place, content in parts:
                self.memory[place : place + len(content)] = content
            return
        if self._descriptor is None:
            raise _closed()
        writable = os.open(f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            # Other code may have closed our descriptor, and given its number to another file.
            if file_of(writable) != self._file:
                raise _closed()
            for place, content in parts:
                os.pwrite(writable, content, place)
        finally:
            os.close(writable)

    def stop(self) -> None:
        """Publish nothing more: `memory` stays as it is, and the file's descriptor is given back."""
        if self._descriptor is not None:
            self._close()
            self._descriptor = None


def _closed() -> OSError:
    return OSError(errno.EBADF, os.strerror(errno.EBADF))


def file_of(descriptor: int) -> tuple[int, int]:
    """What tells a file from all others."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def close_file(descriptor: int, file: tuple[int, int]) -> None:
    """Close what is ours; a number that is somebody else's by now stays open."""
    with suppress(OSError):
        if file_of(descriptor) == file:
            os.close(descriptor)
