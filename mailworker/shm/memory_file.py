"""Files in memory (memfd) that processes map for writing, and that are lent to another binary."""

from __future__ import annotations

import errno
import fcntl
import os
import weakref

from mailworker.shm.publication import close_file, file_of


class MemoryFile:
    """A descriptor that this object closes, at the latest when the object is freed."""

    __slots__ = ("__weakref__", "_close", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._close = weakref.finalize(self, close_file, descriptor, file_of(descriptor))
        self._close.atexit = False

    @classmethod
    def new(cls, name: str, size: int) -> MemoryFile:
        """A file of a fixed size, sparse and full of zeros. Raises OSError."""
        return cls(_make(name, size))

    def copy(self) -> MemoryFile:
        """The same file with a descriptor of its own. Raises OSError."""
        return MemoryFile(os.dup(self.descriptor))

    def close(self) -> None:
        """Close the descriptor; mappings stay."""
        self._close()


def _make(name: str, size: int) -> int:
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
