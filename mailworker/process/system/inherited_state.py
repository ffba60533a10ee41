"""What a process inherits from its parent, set right once before anything else is done.

Workers, helpers and the next binary inherit what `settle` sets, and each new binary calls it again.

| Inherited | Afterwards |
|---|---|
| dispositions and mask of signals | those of `signals.settle`: SIG_IGN and blocked signals survive exec |
| umask | UMASK at the least; a daemon has UMASK, as nginx's does not care for what is inherited either |
| descriptors 0, 1, 2 | /dev/null where they are closed, or a log or socket would get their number |
| other descriptors | the master keeps them, as they may be locks; its children close them |
| environment | `env` decides what workers and the next binary get of it |
| working directory | stays; only relative paths need it |
| limits, priority | stay, as in nginx: they are the administrator's; directives change those of workers |
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
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
    """Set right what this process has inherited; call this before anything is opened or written."""
    sys.dont_write_bytecode = True  # the installation decides whether root's bytecode is kept
    os.umask(os.umask(UMASK) | UMASK)
    _open_standard_streams()
    signals.settle()


def foreign_descriptors(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Open descriptors that were not announced to us; call this before we open any ourselves."""
    ours = {*_STANDARD, *_announced(environment)}
    with suppress(OSError):
        opened = (int(path.name) for path in _DESCRIPTORS.iterdir())
        return tuple(number for number in opened if number not in ours and _is_open(number))
    return ()  # a system that does not tell


def number(text: str) -> int | None:
    """The number in a variable of the environment; None where there is none, or one out of range."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else None


def passed_descriptors(environment: Mapping[str, str]) -> range:
    """The descriptors that a service manager passes to this very process (sd_listen_fds(3))."""
    count = number(environment.get("LISTEN_FDS", "")) if environment.get("LISTEN_PID") == str(os.getpid()) else None
    return range(_FIRST_PASSED, _FIRST_PASSED + min(count or 0, _MOST_PASSED))


def close_all(descriptors: Iterable[int]) -> None:
    """Close those of `descriptors` that are still open."""
    for number in descriptors:
        with suppress(OSError):
            os.close(number)


def close_all_but(descriptor: int) -> None:
    """Close all descriptors that a fork has left open, except the standard streams and `descriptor`."""
    os.closerange(max(_STANDARD) + 1, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))


def _announced(environment: Mapping[str, str]) -> set[int]:
    """The descriptors that another master or a service manager announces; any number in these variables counts."""
    variables = ("MAILWORKER", "MAILWORKER_FORMER", "MAILWORKER_TURN", "MAILWORKER_ZONES")
    values = (environment.get(name, "") for name in variables)
    numbers = (number(text) for value in values for text in re.findall(r"[0-9]+", value))
    return {found for found in numbers if found is not None} | set(passed_descriptors(environment))


def _open_standard_streams() -> None:
    """Open /dev/null in place of closed standard streams; like these it can be inherited."""
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
