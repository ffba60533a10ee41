"""The files of a certificate folder: only those that root or the folder's owner has put there are read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from mailworker.errors import MailworkerError, escape
from mailworker.log.line import describe
from mailworker.regular_file import read_regular

LONGEST: Final = 1 << 20
"""The most bytes of a file with a certificate or a key."""

_NOT_REGULAR: Final = "is not a regular file"
_TOO_LONG: Final = f"is longer than {LONGEST} bytes, so it is not a certificate or a key"

SUFFIXES: Final = (".pem", ".crt", ".cer", ".cert", ".key")

_MOST_LINKS: Final = 40  # the kernel's limit (path_resolution(7))


class Unusable(MailworkerError):
    """A file cannot be used; the text is the predicate of a sentence about the file."""


class File(NamedTuple):
    """A file: `path` is where it was found, `real` is the path without links. The others change with the content."""

    path: str
    real: str
    device: int
    inode: int
    size: int
    changed: int


Wanted = Callable[[list[str]], list[str]]
"""Selects the files to read from the names in a folder."""


class Walk:
    """A scan of everything below a folder.

    `files` are by the folders in which they were found. `folders` are the real folders, to watch for changes. `faults`
    are the reasons for the paths that were left out.
    """

    __slots__ = ("_real", "_trusted", "_walked", "_wanted", "faults", "files", "folders")

    def __init__(self, root: str, wanted: Wanted) -> None:
        """Raises OSError if the folder cannot be read."""
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
            except Unusable as fault:
                self.faults[found] = str(fault)
            except FileNotFoundError:
                if _is_dangling(f"{real}/{name}"):  # otherwise it has been removed or replaced meanwhile
                    self.faults[found] = "is a link to a file that does not exist"
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
        """The path without links. Raises OSError, and Unusable for a link that another user may have made."""
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
            raise Unusable(f'is a link through "{escape(step)}", which belongs to user {info.st_uid}')
        if not stat.S_ISLNK(info.st_mode):
            return step
        if links >= _MOST_LINKS:
            raise Unusable("is one of too many links")
        target = os.readlink(step)  # noqa: PTH115 - there are thousands
        return self._follow(target if target.startswith("/") else f"{base}/{target}", links + 1)


def _is_dangling(path: str) -> bool:
    return os.path.islink(path) and not os.path.exists(path)  # noqa: PTH110, PTH114 - as for os.readlink


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() or (entry.is_symlink() and _is_dangling(entry.path))
    except OSError:  # too many links, which `_follow` reports
        return True


def _split(path: str) -> tuple[str, str]:
    """The folder of a path, "" for the root, and the last part."""
    above, _, name = path.rpartition("/")
    return above, name


def _file(path: str, real: str, info: os.stat_result) -> File:
    if not stat.S_ISREG(info.st_mode):
        raise Unusable(_NOT_REGULAR)
    if info.st_size > LONGEST:
        raise Unusable(_TOO_LONG)
    return File(path, real, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


def read(file: File) -> bytes:
    """The content. Raises OSError, and Unusable if the path is no longer a regular file."""
    content = read_regular(file.real, most=LONGEST + 1, follow=False)
    if content is None:
        raise Unusable(_NOT_REGULAR)
    if len(content) > LONGEST:
        raise Unusable(_TOO_LONG)
    return content


def is_readable(file: File) -> bool:
    """Whether `read` succeeds."""
    try:
        read(file)
    except (OSError, Unusable):
        return False
    return True
