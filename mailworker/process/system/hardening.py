"""Privileges that a worker gives up for good, by prctl(2) of Linux."""

from __future__ import annotations

import ctypes
import sys

from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.model import Level

# linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

# Loaded by the master, as a worker may not be able to read the library.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def harden(log: Log, *, core_dumps: bool) -> None:
    """Prevent programs that we execute from gaining privileges, and processes of our user from reading our memory.

    The latter also prevents core files, so it is not done if `core_dumps` are wanted; after a change of the user they
    must even be enabled. Errors are logged at [alert].
    """
    _set(_PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS", log)
    _set(_PR_SET_DUMPABLE, int(core_dumps), "PR_SET_DUMPABLE", log)


def _set(option: int, value: int, name: str, log: Log) -> None:
    if LIBC is None:
        return
    zero = ctypes.c_ulong(0)
    if LIBC.prctl(option, ctypes.c_ulong(value), zero, zero, zero) != 0:
        log.write(Level.ALERT, f"prctl({name}, {value}) failed {reason()}")


def reason() -> str:
    """The error of the last call of LIBC, as `describe` gives it."""
    return describe(OSError(ctypes.get_errno(), ""))
