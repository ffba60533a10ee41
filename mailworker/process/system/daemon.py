"""Leaving the terminal: becoming a daemon, reporting to the parent, redirecting stderr into the log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress

from daemon import DaemonContext
from daemon.daemon import DaemonError

from mailworker.errors import StartError
from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.log.terminal import tell
from mailworker.model import Level
from mailworker.process.system.inherited_state import UMASK
from mailworker.process.system.pipe import open_pipe

# Messages of a daemon to its waiting parent. Any other one is text for stderr; an end without one means that it died.
_SERVES = b"\0"
_FAILED = b"\1"


class Starter:
    """The parent that has started a daemon and waits for its report. Without a pipe, calls have no effect."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = pipe

    def serves(self) -> None:
        """Report that the daemon serves: the parent exits with code 0."""
        self._tell(_SERVES)

    def fails(self, reason: str = "") -> None:
        """Report that the daemon has failed: the parent prints `reason`, if there is any, and exits with code 1."""
        self._tell(reason.encode() or _FAILED)

    def leave(self) -> None:
        """Close our end, in a child of the daemon: only the daemon reports."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _tell(self, message: bytes) -> None:
        if self._pipe is not None:
            with suppress(OSError):  # the parent has not waited
                os.write(self._pipe, message)
            self.leave()


def become_daemon(descriptors: Iterable[int]) -> Starter:
    """Detach from the terminal; the parent waits for the Starter's report. Raises StartError.

    The working directory, `descriptors` and stderr are kept. stdin and stdout become /dev/null, and all other
    descriptors are closed.
    """
    reading, writing = open_pipe()
    try:
        parent = os.fork() != 0
    except OSError as error:
        raise StartError(f"fork() failed {describe(error)}") from None
    if parent:
        os.close(writing)
        os._exit(wait_for_daemon(reading))
    starter = Starter(writing)
    context = DaemonContext(
        working_directory=os.curdir,  # it may have been removed
        umask=UMASK,
        detach_process=True,  # python-daemon would not detach under a parent with process id 1
        signal_map={},
        prevent_core=False,
        files_preserve=[*descriptors, writing],
        stderr=sys.stderr,
    )
    try:
        context.open()
    except DaemonError as error:
        starter.fails()
        raise StartError(str(error)) from None
    except OSError as error:
        starter.fails()
        raise StartError(f'open() "{error.filename}" failed {describe(error)}') from None
    return starter


def wait_for_daemon(pipe: int) -> int:
    """Wait for the daemon's report; returns the exit code."""
    with os.fdopen(pipe, "rb") as reading:
        message = reading.read()
    if message == _SERVES:
        return 0
    if message != _FAILED:
        text = message.decode() or "[emerg] the daemon ended before it served"
        tell(f"mailworker: {text}")
    return 1


def redirect_stderr(log: Log) -> None:
    """Redirect stderr to the log's first file, unless the log goes to stderr; an error is logged."""
    try:
        sys.stderr.flush()
        if log.descriptor is not None:
            os.dup2(log.descriptor, 2)
    except OSError as error:
        log.write(Level.ALERT, f"dup2(STDERR_FILENO) failed {describe(error)}")
