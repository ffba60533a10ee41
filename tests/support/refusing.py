"""Executes a program for which the kernel refuses system calls, as sandboxes do.

`python -m tests.support.refusing NUMBERS ERROR PROGRAM...`: NUMBERS are those of the calls, separated by commas, see
`numbers`; ERROR is a name from errno(3). PROGRAM and all its children get the error for each of these calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
import subprocess
import sys
from functools import cache

# linux/prctl.h, linux/seccomp.h and linux/filter.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_DEFINED = re.compile(r"^#define __NR_(\w+) (\d+)$", re.MULTILINE)


@cache
def numbers() -> dict[str, int]:
    """The system calls of this machine by name, as the C compiler knows them."""
    command = ["cc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", os.devnull]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in _DEFINED.findall(found)}


def refuse(calls: list[int], error: int) -> None:
    """Have the kernel refuse system calls of this process and all its children; raises OSError."""
    steps = [(_LOAD, 0, 0, 0)]  # the number of the call
    for number in calls:
        steps += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE | error)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    program = b"".join(struct.pack("@HBBI", *step) for step in steps)
    instructions = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(instructions)))
    libc, zero = ctypes.CDLL(None, use_errno=True), ctypes.c_ulong(0)
    for option, value, third in (
        (_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero),
        (_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), header),
    ):
        if libc.prctl(option, value, third, zero, zero) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option})")


def main() -> None:
    calls, error, *program = sys.argv[1:]
    refuse([int(number) for number in calls.split(",")], getattr(errno, error))
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
