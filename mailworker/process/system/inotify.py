"""Changes in folders, reported by Linux's inotify(7); other systems and network file systems report none."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

# inotify.h
_CLOSE_WRITE, _ATTRIB, _MOVED_FROM, _MOVED_TO, _CREATE = 0x8, 0x4, 0x40, 0x80, 0x100
_DELETE, _DELETE_SELF, _MOVE_SELF, _ONLYDIR = 0x200, 0x400, 0x800, 0x01000000
_MASK: Final = (
    _CLOSE_WRITE | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
)

# File systems that other machines can write to as well.
_REMOTE: Final = (
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fuse",
    "glusterfs",
    "lustre",
    "ncp",
    "nfs",
    "prl",
    "smb",
    "vbox",
    "virtio",
)

_MOUNTS: Final = Path("/proc/self/mountinfo")


class Inotify:
    """Its `descriptor` becomes readable when something changes in a watched folder; it is -1 without inotify."""

    __slots__ = ("_library", "descriptor")

    def __init__(self) -> None:
        self._library: Any = None
        self.descriptor = -1
        with suppress(AttributeError, OSError):
            self._library = ctypes.CDLL(None, use_errno=True)
            self.descriptor = self._library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)

    def watch(self, folder: str) -> bool:
        """Watch a folder; returns whether its changes will be reported. It may be watched already."""
        if self.descriptor < 0:
            return False
        watched: int = self._library.inotify_add_watch(self.descriptor, os.fsencode(folder), _MASK)
        return watched >= 0

    def drain(self) -> None:
        """Discard the events."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 1 << 16):
                pass


def is_remote(folder: str) -> bool:
    """Whether other machines may write to the folder: this system does not report their changes."""
    try:
        device = Path(folder).stat().st_dev
        mounts = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    for mount in mounts:
        head, _, tail = mount.partition(" - ")
        if head.split()[2:3] == [number]:
            return tail.startswith(_REMOTE)
    return False
