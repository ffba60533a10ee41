"""The state that a process inherits from its parent; `settle` sets it to known values.

Workers, helpers and the next binary inherit these values, and each new binary calls `settle` again.

| Inherited | Afterwards |
|---|---|
| dispositions and mask of signals | those of `signals.settle`: SIG_IGN and blocked signals survive exec |
| umask | UMASK and the inherited bits; only UMASK in a daemon, as in nginx |
| descriptors 0, 1, 2 | /dev/null if they are closed, as a log or a socket could get their numbers |
| other descriptors | stay open in the master, as they may be locks; its children close them |
| environment | stays; `env` selects the variables of workers and of the next binary |
| working directory | stays; only relative paths need it |
| limits, priority | stay, as in nginx; directives change those of workers |
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mailworker.process.system import signals

# Files and folders made without an explicit mode, for example by a library, are writable for their owner alone.
UMASK = 0o022
_STANDARD = (0, 1, 2)
_MOST_PASSED = 1 << 16
_FIRST_PASSED = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)
_LONGEST_NUMBER = 18  # digits, which 63 bits hold
_DESCRIPTORS = Path("/proc/self/fd")


def settle() -> None:
    """Set the inherited state to known values; call this before anything is opened or written."""
    sys.dont_write_bytecode = True  # no bytecode is written as root
    os.umask(os.umask(UMASK) | UMASK)
    _open_standard_streams()
    signals.settle()


def foreign_descriptors(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Open descriptors that were not announced to us; call this before any other is opened."""
    ours = {*_STANDARD, *_announced(environment)}
    with suppress(OSError):
        opened = (int(path.name) for path in _DESCRIPTORS.iterdir())
        return tuple(number for number in opened if number not in ours and _is_open(number))
    return ()  # a system without /proc


def number(text: str) -> int | None:
    """The number in a variable of the environment; None if it is no number, or out of range."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


def passed_descriptors(environment: Mapping[str, str]) -> range:
    """The descriptors that a service manager passes to this process (sd_listen_fds(3))."""
    count = number(environment.get("LISTEN_FDS", "")) if environment.get("LISTEN_PID") == str(os.getpid()) else None
    return range(_FIRST_PASSED, _FIRST_PASSED + min(count or 0, _MOST_PASSED))


@contextmanager
def announced(theirs: socket.socket, variable: str) -> Iterator[dict[str, str]]:
    """The variable with the descriptor of `theirs`, which is inheritable, and open here, within the context."""
    with theirs:
        theirs.set_inheritable(True)
        yield {variable: str(theirs.fileno())}


def inherited(descriptor: str) -> socket.socket | None:
    """The socket that an old master has announced, None if there is no valid one."""
    found = number(descriptor)
    if found is None:
        return None
    try:
        link = socket.socket(fileno=found)
        link.set_inheritable(False)
    except (OSError, OverflowError, ValueError):
        return None
    return link


def close_all(descriptors: Iterable[int]) -> None:
    """Close those of `descriptors` that are still open."""
    for number in descriptors:
        with suppress(OSError):
            os.close(number)


def close_all_but(descriptor: int) -> None:
    """Close all descriptors except the standard streams and `descriptor`, in a process that was forked."""
    os.closerange(max(_STANDARD) + 1, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))


def _announced(environment: Mapping[str, str]) -> set[int]:
    """The descriptors that another master or a service manager announces: all numbers in their variables."""
    variables = ("MAILWORKER", "MAILWORKER_FORMER", "MAILWORKER_TURN", "MAILWORKER_ZONES")
    values = (environment.get(name, "") for name in variables)
    numbers = (number(text) for value in values for text in re.findall(r"[0-9]+", value))
    return {found for found in numbers if found is not None} | set(passed_descriptors(environment))


def _open_standard_streams() -> None:
    """Open /dev/null for each closed standard stream, inheritable like those."""
    for number in _STANDARD:
        if not _is_open(number):
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(opened, True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
