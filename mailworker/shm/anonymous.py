"""Anonymous shared memory: the process that makes it and all that it forks later can write it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mailworker.errors import StartError
from mailworker.native.mapping import mappable

_ZEROS = bytes(mmap.PAGESIZE)


def anonymous(size: int) -> mmap.mmap:
    """`size` zero bytes; raises StartError where the system has no such memory."""
    try:
        memory = mmap.mmap(-1, mappable(size))
    except OSError as error:
        raise StartError(f"mmap(MAP_ANON|MAP_SHARED, {size}) failed ({error.errno}: {error.strerror})") from error
    if hasattr(mmap, "MADV_DONTDUMP"):  # a core file shall hold no sessions of clients
        with suppress(OSError):  # a sandbox may refuse it
            memory.madvise(mmap.MADV_DONTDUMP)
    return memory


def pages(content: Any) -> Iterator[tuple[int, bytes]]:
    """The pages of a buffer that are not all zeros, each with its offset; the last one may be shorter.

    A new memory needs no other pages: to write zeros to it takes memory from the system.
    """
    for start in range(0, len(content), len(_ZEROS)):
        page = bytes(content[start : start + len(_ZEROS)])
        if page != _ZEROS[: len(page)]:
            yield start, page


def fill(memory: mmap.mmap, content: Any) -> None:
    """Copy `content`, of the same size, to a memory that is all zeros."""
    for start, page in pages(content):
        memory[start : start + len(page)] = page
