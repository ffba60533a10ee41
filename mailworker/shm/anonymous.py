"""Anonymous shared memory, which its process and all that are forked later can write to."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mailworker.errors import StartError
from mailworker.native.mapping import mappable

_ZEROS = bytes(mmap.PAGESIZE)


def anonymous(size: int) -> mmap.mmap:
    """Memory of `size` zero bytes; raises StartError if the system has none."""
    try:
        memory = mmap.mmap(-1, mappable(size))
    except OSError as error:
        raise StartError(f"mmap(MAP_ANON|MAP_SHARED, {size}) failed ({error.errno}: {error.strerror})") from error
    if hasattr(mmap, "MADV_DONTDUMP"):  # core files must not contain sessions of clients
        with suppress(OSError):  # a sandbox may refuse it
            memory.madvise(mmap.MADV_DONTDUMP)
    return memory


def pages(content: Any) -> Iterator[tuple[int, bytes]]:
    """The pages of a buffer that are not all zeros, each with its offset; the last one may be shorter.

    New memory is all zeros, and takes no memory of the system before it is written to.
    """
    for start in range(0, len(content), len(_ZEROS)):
        page = bytes(content[start : start + len(_ZEROS)])
        if page != _ZEROS[: len(page)]:
            yield start, page


def fill(memory: mmap.mmap, content: Any) -> None:
    """Copy `content`, of the same size, to memory that is all zeros."""
    for start, page in pages(content):
        memory[start : start + len(page)] = page
