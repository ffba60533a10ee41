"""Opening log files: users who may write to a folder of the path must not make root open another file."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from contextlib import closing, suppress
from pathlib import Path, PurePath

# The owner may write, all may read; nginx's NGX_FILE_DEFAULT_ACCESS.
MODE = 0o644
# O_NONBLOCK has no effect on a file, but a FIFO or terminal without a reader must not block a worker.
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
# Linux's limit for a whole path.
_MOST_LINKS = 40


def open_log(path: Path) -> int:
    """Open a log to append to it; raises OSError.

    A symbolic link is followed only if it belongs to root or to our user, as another user could link to any file.
    """
    if os.geteuid() == 0 and hasattr(os, "O_PATH"):
        with closing(_Walk()) as walk:
            return walk.open(path.absolute())
    follow = path.is_symlink() and path.lstat().st_uid in (0, os.geteuid())
    return os.open(path, FLAGS | (0 if follow else os.O_NOFOLLOW), MODE)


def give_log(descriptor: int, owner: int) -> None:
    """Change the owner of a log; raises OSError.

    A file with several hard links is left alone, as it may be another file than a log.
    """
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid != owner and status.st_nlink == 1:
        os.fchown(descriptor, owner, -1)


class _Walk:
    """Resolves a path name by name, as the kernel does, but opens and checks each link before following it.

    If the path were checked first and opened afterwards, a user with write access to a folder could replace a name in
    between.
    """

    __slots__ = ("_folder", "_links", "_names")

    def __init__(self) -> None:
        self._folder = _open_root()
        self._links = 0
        self._names: deque[str] = deque()

    def open(self, path: PurePath) -> int:
        """The log at `path`, which is absolute; raises OSError."""
        self._names.extend(path.parts[1:])
        while self._names:
            name = self._names.popleft()
            try:
                if not self._names:
                    return os.open(name, FLAGS | os.O_NOFOLLOW, MODE, dir_fd=self._folder)
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
            opened = self._pass(name)
            if opened is not None:
                return opened
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))

    def _pass(self, name: str) -> int | None:
        """Enter a folder, or follow a link; returns the log if it is opened through a link of /proc."""
        entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            status = os.fstat(entry)
            if not stat.S_ISLNK(status.st_mode):
                self._enter(os.dup(entry))
                return None
            self._links += 1
            if status.st_uid not in (0, os.geteuid()) or self._links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if _is_of_proc(status):  # such as /proc/self/fd/2, whose text is not a path
                if not self._names:
                    return os.open(name, FLAGS, MODE, dir_fd=self._folder)
                self._enter(os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=self._folder))
                return None
            target = PurePath(os.readlink("", dir_fd=entry))
        finally:
            os.close(entry)
        if target.is_absolute():
            self._enter(_open_root())
        self._names.extendleft(reversed(target.parts[target.is_absolute() :]))
        return None

    def _enter(self, folder: int) -> None:
        os.close(self._folder)
        self._folder = folder

    def close(self) -> None:
        os.close(self._folder)


def _open_root() -> int:
    return os.open("/", os.O_PATH | os.O_CLOEXEC)


def _is_of_proc(status: os.stat_result) -> bool:
    with suppress(OSError):
        return status.st_dev == Path("/proc/self").lstat().st_dev
    return False
