"""Reading a file that must be a regular one: nothing in its place may keep the reader waiting."""

from __future__ import annotations

import os
import stat
from functools import partial


def read_regular(path: str, *, most: int = -1, follow: bool = True) -> bytes | None:
    """The content of a regular file; None for any other kind, such as a pipe or a device, which may never end.

    At most `most` bytes are read, -1 for all. Without `follow` a symbolic link at `path` is an error. Raises OSError,
    for a folder too.
    """
    with open(path, "rb", buffering=0, opener=partial(_open, follow)) as file:
        return file.read(most) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


def _open(follow: bool, path: str, flags: int) -> int:
    flags |= os.O_NONBLOCK | os.O_NOCTTY  # not to wait for a pipe's writer, or become the owner of a terminal
    return os.open(path, flags if follow else flags | os.O_NOFOLLOW)
