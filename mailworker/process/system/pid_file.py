"""The pid file, by which `-s` and service managers find the master."""

from __future__ import annotations

import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

from mailworker.errors import StartError
from mailworker.log.line import describe

_MODE = 0o644
# The longest text of a process id that nginx reads, with its line end.
_MAX_TEXT = 22


def write(path: Path) -> None:
    """Write our process id to `path`; raises StartError.

    The file is never incomplete. A symbolic link at `path` is replaced, not followed.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)  # a killed process with the same id may have left it
        with open(temporary, "xb", buffering=0, opener=_open) as file:
            _fill(path, file)
        temporary.replace(path)
    except OSError as error:
        raise _cannot_open(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()  # after an error; otherwise it is renamed


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, _MODE)


def _fill(path: Path, file: FileIO) -> None:
    text = b"%d\n" % os.getpid()
    try:
        written = file.write(text)
    except OSError as error:
        raise StartError(f'write() "{path}" failed {describe(error)}') from None
    if written != len(text):  # a part of the number would be the id of another process
        raise StartError(f'write() "{path}" failed (28: No space left on device)')


def check(path: Path) -> None:
    """Check for `-t` that `path` can be written, and create it empty if it is missing; raises StartError."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE))
    except OSError as error:
        raise _cannot_open(path, error) from None


def remove(path: Path) -> None:
    """Delete `path` if it still holds our process id; raises StartError."""
    try:
        ours = read(path) == os.getpid()
    except StartError:
        return  # it is deleted already, or invalid
    if ours:
        try:
            path.unlink()
        except OSError as error:
            raise StartError(f'unlink() "{path}" failed {describe(error)}') from None


def read(path: Path) -> int:
    """The process id in `path`; raises StartError with nginx's text."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_TEXT).rstrip(b"\r\n")
    except OSError as error:
        raise _cannot_open(path, error) from None
    if not text.isdigit() or int(text) == 0:
        raise StartError(f'invalid PID number "{text.decode("ascii", "backslashreplace")}" in "{path}"')
    return int(text)


def _cannot_open(path: Path, error: OSError) -> StartError:
    return StartError(f'open() "{path}" failed {describe(error)}')
