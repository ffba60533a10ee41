"""Files in memory (memfd) that processes map for writing, and that another binary can use."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import Any

from mailworker.native.mapping import map_shared
from mailworker.shm.anonymous import anonymous
from mailworker.shm.sealed import make_writable_file


class MemoryFile:
    """A descriptor, which is closed at the latest when this object is freed; `identity` is that of its file."""

    __slots__ = ("__weakref__", "_close", "descriptor", "identity")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.identity = file_of(descriptor)
        self._close = weakref.finalize(self, _close_file, descriptor, self.identity)
        self._close.atexit = False

    @classmethod
    def new(cls, name: str, size: int) -> MemoryFile:
        """A file of a fixed size, sparse and full of zeros. Raises OSError."""
        return cls(make_writable_file(name, lambda writable: os.ftruncate(writable, size)))

    def copy(self) -> MemoryFile:
        """The same file with a descriptor of its own. Raises OSError."""
        return MemoryFile(os.dup(self.descriptor))

    def close(self) -> None:
        """Close the descriptor; mappings stay."""
        self._close()


def writable_memory(name: str, size: int) -> tuple[Any, MemoryFile | None]:
    """Memory of zeros for this process and all that are forked later, and its file, None without memfd.

    Raises StartError if the system has no memory.
    """
    try:
        file = MemoryFile.new(name, size)
        return map_shared(file.descriptor, size), file
    except OSError:
        return anonymous(size), None


def borrowed_memory(descriptor: int, size: int) -> tuple[Any, MemoryFile] | None:
    """The memory of another binary, and its file; None if that is smaller, or no file."""
    try:
        file = MemoryFile(os.dup(descriptor))
        return (map_shared(descriptor, size), file) if os.fstat(descriptor).st_size >= size else None
    except OSError:
        return None


def file_of(descriptor: int) -> tuple[int, int]:
    """The device and inode of a file, which identify it."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _close_file(descriptor: int, identity: tuple[int, int]) -> None:
    """Close a descriptor, unless another file has its number."""
    with suppress(OSError):
        if file_of(descriptor) == identity:
            os.close(descriptor)
