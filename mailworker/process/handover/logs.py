"""Log files on their way from the master, which opens them, to its workers."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

# The system's bound for one message (SCM_MAX_FD), and bytes that the names of so many files rarely have.
_MOST = 253
_LONGEST = 1 << 18


def send_files(link: socket.socket, files: Mapping[Path, int]) -> bool:
    """Send descriptors of `files`; False where the worker cannot get them: it has not taken many others, or is gone."""
    names = b"\0".join(os.fsencode(path) for path in files)
    try:
        socket.send_fds(link, [names], list(files.values()))
    except OSError:
        return False
    return True


def receive_files(link: socket.socket) -> dict[Path, int] | None:
    """The files of one message, whose descriptors are the caller's now; None where there is no message."""
    try:
        names, descriptors, _, _ = socket.recv_fds(link, _LONGEST, _MOST)
    except OSError:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return dict(zip((Path(os.fsdecode(name)) for name in names.split(b"\0")), descriptors, strict=False))
