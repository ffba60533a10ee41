"""Log files on their way from the master, which opens them, to its workers.

A message holds names of files, their descriptors beside them, and how many files came before and are still to come.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from mailworker.process.system.inherited_state import close_all

# The system's bound for one message (SCM_MAX_FD), and bytes that the names of so many files rarely have.
_MOST = 253
_LONGEST = 1 << 18


def send_files(link: socket.socket, files: Mapping[Path, int]) -> bool:
    """Send descriptors of `files`; False where the worker cannot get them: it has not taken many others, or is gone."""
    for start in range(0, max(len(files), 1), _MOST):
        part = dict(islice(files.items(), start, start + _MOST))
        header = b"%d %d" % (start, len(files) - start - len(part))
        try:
            socket.send_fds(link, [b"\0".join((header, *map(os.fsencode, part)))], list(part.values()))
        except OSError:
            return False
    return True


class LogReceiver:
    """Where a worker gets its files."""

    __slots__ = ("_files", "_link")

    def __init__(self, link: socket.socket) -> None:
        self._files: dict[Path, int] = {}
        self._link = link

    def take(self) -> dict[Path, int] | None:
        """Files that were sent together, whose descriptors are the caller's now; None until all of them have come."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._link, _LONGEST, _MOST)
        except OSError:
            return None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        header, *names = message.split(b"\0")
        before, left = map(int, header.split())
        if not before:
            close_all(self._files.values())  # the master could not send the rest of these
            self._files = {}
        self._files.update(zip((Path(os.fsdecode(name)) for name in names), descriptors, strict=False))
        if left:
            return None
        files, self._files = self._files, {}
        return files
