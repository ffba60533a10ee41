"""Mapping of files without keeping a descriptor open, as Python's own mmap does while the mapping lives."""

from __future__ import annotations

import errno
import mmap
import os
import sys
from typing import Any

from mailworker.native.tls._native import ffi, lib


def map_read_only(descriptor: int, size: int) -> Any:
    """A buffer over the first `size` bytes of a file; it shows later changes, and `descriptor` may be closed.

    If `descriptor` is read-only, no process that inherits the mapping can make it writable.
    Raises OSError.
    """
    return _map(descriptor, size, lib.PROT_READ)


def map_shared(descriptor: int, size: int) -> Any:
    """As `map_read_only`, but writable: all processes that map the file see what one of them writes."""
    return _map(descriptor, size, lib.PROT_READ | lib.PROT_WRITE)


def mappable(size: int) -> int:
    """`size`, if this machine has as many addresses; else raises OSError, as the system does without enough memory."""
    if size > sys.maxsize:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return size


def _map(descriptor: int, size: int, protection: int) -> Any:
    start = lib.mmap(ffi.NULL, mappable(size), protection, lib.MAP_SHARED, descriptor, 0)
    if start == ffi.cast("void *", -1):
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    mapped = ffi.gc(start, lambda memory: lib.munmap(memory, size))
    if hasattr(mmap, "MADV_DONTDUMP"):
        lib.madvise(start, size, mmap.MADV_DONTDUMP)
    return ffi.buffer(mapped, size)
