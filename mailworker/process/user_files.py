"""The files of `auth_user_file`, which the master reads for all workers."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import NamedTuple

from mailworker.config.source import LoginSource, UserFileSettings
from mailworker.config.tree import Warn
from mailworker.errors import ConfigError
from mailworker.log.line import describe
from mailworker.mail.authentication.user_file import Users
from mailworker.mail.authentication.user_table import UserTable, build
from mailworker.process.steps import Pauses
from mailworker.regular_file import read_regular
from mailworker.shm.sealed import read_sealed, seal


class Stamp(NamedTuple):
    """The attributes that change with the content of a file. All are None for a file that does not exist."""

    device: int | None = None
    inode: int | None = None
    size: int | None = None
    changed: int | None = None


class UserFiles:
    """The users in each file that a configuration names, and the stamps of the files when they were read."""

    __slots__ = ("stamps", "users")

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp] = {}
        self.users: dict[str, Users] = {}

    @classmethod
    def read(
        cls, sources: Iterable[LoginSource], warn: Warn, earlier: UserFiles | None = None
    ) -> Generator[float, None, UserFiles]:
        """Read the files of all `sources`; `warn` is called for invalid lines.

        If `earlier` has a file with the same content, its users are used, as a million users take seconds to read.
        Yields the seconds to wait before it is resumed. Raises ConfigError if a file cannot be read.
        """
        files = cls()
        for path in {source.path for source in sources if isinstance(source, UserFileSettings)}:
            files.stamps[path] = stamp(path)
            text = _read(path)
            known = None if earlier is None else earlier.users.get(path)
            if known is not None and known.table.is_of(text):
                table = known.table
            else:
                table = UserTable(_shared((yield from _build(text, path, warn))))
            files.users[path] = Users(path, table)
        return files

    def of(self, source: LoginSource) -> Users | None:
        """The users of a server's source, None if it is not a file."""
        return self.users[source.path] if isinstance(source, UserFileSettings) else None

    def count(self, path: str) -> int:
        """The number of users in a file."""
        return self.users[path].table.count

    def adopt(self, path: str, descriptor: int) -> bool:
        """Use the content that another process has read, and close its descriptor. Raises OSError.

        Returns whether this configuration uses the file, as workers of a former cycle get updates of other files too.
        """
        memory = read_sealed(descriptor)
        if path not in self.users:
            return False
        self.users[path].table = UserTable(memory)
        return True


def read_users(path: str, warn: Warn) -> Generator[float, None, bytes]:
    """The content for a UserTable; see `UserFiles.read`."""
    return (yield from _build(_read(path), path, warn))


def _read(path: str) -> bytes:
    try:
        text = read_regular(path)
    except OSError as error:
        raise ConfigError(f'open() "{path}" failed {describe(error)}') from error
    if text is None:
        raise ConfigError(f'"{path}" is not a regular file')
    return text


def _build(text: bytes, path: str, warn: Warn) -> Generator[float, None, bytes]:
    building = build(text, lambda level, line, message: warn(level, f"{message} in {path}:{line}"))
    pauses = Pauses()
    while True:
        try:
            next(building)
        except StopIteration as end:
            content: bytes = end.value
            return content
        yield from pauses.due()


def stamp(path: str) -> Stamp:
    """The stamp of a file."""
    try:
        found = Path(path).stat()
    except OSError:
        return Stamp()
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _shared(content: bytes) -> object:
    """Memory that no process can write to; if the system has none, the content itself."""
    try:
        return read_sealed(seal("mailworker users", content))
    except OSError:
        return content
