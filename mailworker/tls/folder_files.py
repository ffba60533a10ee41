"""The files of a certificate folder that are safe to read: only root or the folder's owner can have put them there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from mailworker.errors import MailworkerError, escape
from mailworker.log.line import describe
from mailworker.regular_file import read_regular

LONGEST: Final = 1 << 20
"""Bytes: a longer file is no certificate and no key."""

_NOT_REGULAR: Final = "is not a regular file"
_TOO_LONG: Final = f"is longer than {LONGEST} bytes, so it is not a certificate or a key"

SUFFIXES: Final = (".pem", ".crt", ".cer", ".cert", ".key")

_MOST_LINKS: Final = 40  # the kernel's own bound (path_resolution(7))


class Unfit(MailworkerError):
    """A file is left out; the text says why, and continues a sentence that begins with the file."""


class File(NamedTuple):
    """A file: `path` is where it was found, `real` is that with links resolved. The rest changes with its content."""

    path: str
    real: str
    device: int
    inode: int
    size: int
    changed: int


Wanted = Callable[[list[str]], list[str]]
"""Selects from the names of a folder's files those to be read."""


class Walk:
    """One scan of all that is below a folder.

    `files` are keyed by the folders in which they were found. `folders` are the real folders, to be watched for
    changes. `faults` gives the reason for each path that was left out.
    """

    __slots__ = ("_real", "_trusted", "_walked", "_wanted", "faults", "files", "folders")

    def __init__(self, root: str, wanted: Wanted) -> None:
        """Raises OSError where the folder cannot be read."""
        self.faults: dict[str, str] = {}
        self.files: dict[str, list[File]] = {}
        self.folders: set[str] = set()
        self._real: dict[str, str] = {"": ""}  # paths that were resolved, with their real paths
        self._walked: set[str] = set()
        self._wanted = wanted
        real = os.path.realpath(root)
        self._trusted = {0, os.lstat(real).st_uid}
        self._walk(root, real)

    def _walk(self, path: str, real: str) -> None:
        with os.scandir(real) as opened:
            entries = {entry.name: entry for entry in opened if not entry.name.startswith(".")}
        self.folders.add(real)
        self._walked.add(real)
        names = [name for name in sorted(entries) if name.endswith(SUFFIXES)]
        wanted = self._wanted(names)
        folders = [name for name, entry in sorted(entries.items()) if name not in names and _may_be_folder(entry)]
        for name in (*wanted, *folders):
            found = f"{path}/{name}"
            try:
                self._take(path, found, f"{real}/{name}", entries[name])
            except Unfit as fault:
                self.faults[found] = str(fault)
            except FileNotFoundError:
                if _leads_nowhere(f"{real}/{name}"):  # else it was removed or replaced meanwhile
                    self.faults[found] = "is a link that leads to nothing"
            except OSError as error:
                self.faults[found] = f"could not be read {describe(error)}"

    def _take(self, folder: str, found: str, real: str, entry: os.DirEntry[str]) -> None:
        if entry.is_symlink():
            real = self._follow(real, 0)
            info = os.lstat(real)
            self.folders.add(_split(real)[0])
        else:
            info = entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            file = _file(found, real, info)
            self.files.setdefault(folder, []).append(file)
        elif real not in self._walked:
            self._walk(found, real)

    def _follow(self, path: str, links: int) -> str:
        """The real path of `path`. Raises Unfit for a link that other users could have made, and OSError."""
        known = self._real.get(path)
        if known is not None:
            return known
        above, name = _split(path)
        base = self._follow(above, links)
        if name == "..":
            real = _split(base)[0]
        elif name in ("", "."):
            real = base
        else:
            real = self._step(base, name, links)
        self._real[path] = real
        return real

    def _step(self, base: str, name: str, links: int) -> str:
        step = f"{base}/{name}"
        info = os.lstat(step)
        if info.st_uid not in self._trusted:
            raise Unfit(f'is a link whose way leads by "{escape(step)}", which belongs to user {info.st_uid}')
        if not stat.S_ISLNK(info.st_mode):
            return step
        if links >= _MOST_LINKS:
            raise Unfit("is a link that leads to no end")
        target = os.readlink(step)  # noqa: PTH115 - there are thousands
        return self._follow(target if target.startswith("/") else f"{base}/{target}", links + 1)


def _leads_nowhere(path: str) -> bool:
    return os.path.islink(path) and not os.path.exists(path)  # noqa: PTH110, PTH114 - as for os.readlink


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() or (entry.is_symlink() and _leads_nowhere(entry.path))
    except OSError:  # a link that leads to no end, as `_follow` says
        return True


def _split(path: str) -> tuple[str, str]:
    """The folder of a path, "" for the root, and the path's last part."""
    above, _, name = path.rpartition("/")
    return above, name


def _file(path: str, real: str, info: os.stat_result) -> File:
    if not stat.S_ISREG(info.st_mode):
        raise Unfit(_NOT_REGULAR)
    if info.st_size > LONGEST:
        raise Unfit(_TOO_LONG)
    return File(path, real, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


def read(file: File) -> bytes:
    """The content. Raises OSError, and Unfit where the path has become something else."""
    content = read_regular(file.real, most=LONGEST + 1, follow=False)
    if content is None:
        raise Unfit(_NOT_REGULAR)
    if len(content) > LONGEST:
        raise Unfit(_TOO_LONG)
    return content


def is_readable(file: File) -> bool:
    """Whether `read` gives the content."""
    try:
        read(file)
    except (OSError, Unfit):
        return False
    return True
