"""Access logs with variables in their names, which clients may choose; all files are below one folder."""

from __future__ import annotations

import os
import time
from errno import EPERM
from pathlib import Path
from typing import Final

from mailworker.config.destinations import AccessLogPattern
from mailworker.errors import escape
from mailworker.log.line import describe
from mailworker.log.losses import Losses
from mailworker.log.opening import FLAGS, MODE
from mailworker.log.writing import Appender

MOST: Final = 64
"""The number of files that are kept open, as by nginx's open_log_file_cache."""

_VALID: Final = 60.0  # seconds before the name is looked up again, as in nginx
FOLDER_FLAGS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS: Final = FLAGS | os.O_NOFOLLOW
"""The flags for opening folders and files below the root; the sandbox allows no others."""


class _Named:
    """An open file with its name."""

    __slots__ = ("_losses", "appender", "descriptor", "opened", "path")

    def __init__(self, path: str, descriptor: int, losses: Losses) -> None:
        self._losses = losses
        self.appender = Appender(self, losses)
        self.descriptor = descriptor
        self.opened = time.monotonic()
        self.path = path

    def close(self) -> None:
        self.appender.end_file()
        try:
            os.close(self.descriptor)
        except OSError as error:  # as on a full disk of another machine: at least one line is lost
            self._losses.add(1, f'close() "{self.path}" failed {describe(error)}')


class PatternWriter:
    """Opens files with the rights of the process. It follows no link, accepts no "..", and makes no folder."""

    __slots__ = ("_depth", "_files", "_folder", "_lines", "_losses", "_path", "_refusal")

    def __init__(self, settings: AccessLogPattern, losses: Losses) -> None:
        self._depth = settings.depth
        self._files: dict[bytes, _Named] = {}  # in the order of their last use
        self._lines: dict[bytes, list[bytes]] = {}
        self._losses = losses
        self._path = settings.folder
        self._folder: int | None = None
        self._refusal: OSError | None = None
        try:
            self._folder = _open_root(settings.folder)
        except OSError as error:  # each line will fail, and be reported
            self._refusal = error

    @property
    def folder(self) -> int | None:
        """The descriptor of the folder; None if it could not be opened."""
        return self._folder

    def take(self, path: bytes, line: bytes) -> None:
        """See `Writer`."""
        self._lines.setdefault(path, []).append(line)

    def pause(self) -> None:
        """See `Writer`."""
        for path, lines in self._lines.items():
            file = self._file(path, len(lines))
            if file is not None:
                file.appender.append(b"".join(lines), len(lines))
        self._lines.clear()

    def end_files(self) -> None:
        """See `Writer`."""
        self.pause()
        while self._files:
            self._files.popitem()[1].close()

    def _file(self, path: bytes, lines: int) -> _Named | None:
        """The open file of that name; None if it cannot be opened, and then `lines` lines are lost."""
        file = self._files.pop(path, None)
        if file is not None and time.monotonic() >= file.opened + _VALID:
            file.close()
            file = None
        if file is None:
            file = self._open(path, lines)
        if file is not None:
            self._files[path] = file
            if len(self._files) > MOST:
                self._files.pop(next(iter(self._files))).close()
        return file

    def _open(self, path: bytes, lines: int) -> _Named | None:
        names = path.split(b"/")
        shown = f"{self._path}/{escape(path)}"
        if len(names) != self._depth or b"\0" in path or any(not name or name.startswith(b".") for name in names):
            self._losses.add(lines, f'"{shown}" is not a valid name for a log')
            return None
        try:
            return _Named(shown, self._open_below(names), self._losses)
        except OSError as error:
            self._losses.add(lines, f'open() "{shown}" failed {describe(error)}')
            return None

    def _open_below(self, names: list[bytes]) -> int:
        if self._folder is None:
            self._folder = self._open_late()
        folder = os.dup(self._folder)
        try:
            for name in names[:-1]:
                inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
                os.close(folder)
                folder = inner
            return os.open(names[-1], FILE_FLAGS, MODE, dir_fd=folder)
        finally:
            os.close(folder)

    def _open_late(self) -> int:
        try:
            return _open_root(self._path)
        except OSError as error:
            # The sandbox refuses every later try with EPERM.
            raise (self._refusal if error.errno == EPERM and self._refusal else error) from None


def _open_root(folder: Path) -> int:
    """Open the literal folder. Its path may contain links, as the administrator names it. Raises OSError."""
    return os.open(folder, FOLDER_FLAGS & ~os.O_NOFOLLOW)
