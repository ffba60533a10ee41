"""Executing a program in a child, even if a container's seccomp filter refuses posix_spawn(3)."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Collection, Mapping

# The errors by which a seccomp filter refuses system calls.
_REFUSED = (errno.EPERM, errno.ENOSYS)


def execute(
    program: str, arguments: list[str], environment: Mapping[str, str], blocked: Collection[signal.Signals]
) -> int:
    """Execute `program` in a child that has these signals blocked and no others; returns its process id.

    Raises OSError.

    posix_spawn(3) of glibc makes a child by clone3(2) and does not cope with EPERM, which older containers return for
    it. fork(2) does not need clone3(2).
    """
    try:
        return os.posix_spawn(program, arguments, environment, setsigmask=blocked)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
    return _fork(program, arguments, environment, blocked)


def _fork(
    program: str, arguments: list[str], environment: Mapping[str, str], blocked: Collection[signal.Signals]
) -> int:
    """As `execute`. The child reports an error by a pipe, which exec closes."""
    reading, writing = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            _become(program, arguments, environment, writing)
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return pid


def _become(program: str, arguments: list[str], environment: Mapping[str, str], writing: int) -> None:
    """The child's part, which never returns."""
    try:
        os.execve(program, arguments, environment)
    except OSError as error:
        os.write(writing, b"%d" % (error.errno or 0))
    finally:
        os._exit(127)
