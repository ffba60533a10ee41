"""Anonymous shared memory: the process that makes it and all that it forks later can write it."""

from __future__ import annotations

import mmap
from contextlib import suppress

from mailworker.errors import StartError


def anonymous(size: int) -> mmap.mmap:
    """`size` zero bytes; raises StartError where the system has no such memory."""
    try:
        memory = mmap.mmap(-1, size)
    except OSError as error:
        raise StartError(f"mmap(MAP_ANON|MAP_SHARED, {size}) failed ({error.errno}: {error.strerror})") from error
    if hasattr(mmap, "MADV_DONTDUMP"):  # a core file shall hold no sessions of clients
        with suppress(OSError):  # a sandbox may refuse it
            memory.madvise(mmap.MADV_DONTDUMP)
    return memory
