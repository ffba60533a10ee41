"""`worker_sandbox on`: a sandbox for a worker, by Linux's seccomp(2) and, if the kernel has it, Landlock.

A worker then has only the system calls that it needs to serve: it cannot execute programs, make, inspect or signal
processes, or open files. The master sends it reopened logs. Refused calls fail with EPERM or EACCES.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mailworker.errors import StartError
from mailworker.log.patterns import FILE_FLAGS, FOLDER_FLAGS
from mailworker.process.system.hardening import LIBC, reason

# linux/audit.h, and the machine's column in the table below.
_MACHINES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# System calls that can do no harm, by their numbers on x86_64 and on aarch64; the frequent ones first.
_CALLS: Final = {
    "epoll_wait": (232, None), "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441), "epoll_ctl": (233, 21),
    "recvfrom": (45, 207), "sendto": (44, 206), "read": (0, 63), "write": (1, 64), "accept4": (288, 242),
    "close": (3, 57), "splice": (275, 76), "connect": (42, 203), "setsockopt": (54, 208), "getsockopt": (55, 209),
    "getsockname": (51, 204), "getpeername": (52, 205), "shutdown": (48, 210), "recvmsg": (47, 212),
    "sendmsg": (46, 211), "readv": (19, 65), "writev": (20, 66), "accept": (43, 202),
    "pipe2": (293, 59), "futex": (202, 98), "getrandom": (318, 278), "brk": (12, 214),
    "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233), "clock_gettime": (228, 113),
    "gettimeofday": (96, 169), "time": (201, None), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72), "epoll_create1": (291, 20),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291), "lseek": (8, 62), "getpid": (39, 172),
    "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "sched_yield": (24, 124), "set_robust_list": (273, 99), "rseq": (334, 293),
    "membarrier": (324, 283), "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
    "uname": (63, 160),  # $hostname
    "dup2": (33, None), "dup3": (292, 24),  # stderr follows the logs
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Test:
    """Tests whether an argument of a system call, counted from 0, has one of `values` under `mask`."""

    argument: int
    mask: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Condition:
    """Allows a system call if all `tests` hold. One condition that holds is enough."""

    numbers: tuple[int, int]
    tests: tuple[_Test, ...]


_ALL: Final = 0xFFFFFFFF
_PROT_EXEC: Final = 4
# linux/fcntl.h and asm-generic/fcntl.h: systems without this sandbox have other values, or none.
_F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL = range(5)
_F_DUPFD_CLOEXEC, _F_SETPIPE_SZ, _F_GETPIPE_SZ = 1030, 1031, 1032
_O_ASYNC: Final = 0o20000
_O_LARGEFILE: Final = getattr(os, "O_LARGEFILE", 0)  # a C library may add it to the flags
# asm-generic/ioctls.h: non-blocking mode, and close-on-exec. Left out are FIOASYNC, FIOSETOWN and SIOCSPGRP, by which
# the kernel would send signals for us.
_FIONBIO, _FIOCLEX = 0x5421, 0x5451
_FCNTL: Final = (72, 25)
# Left out for the same reason: F_SETOWN, F_SETOWN_EX, F_SETSIG, F_SETLEASE and F_NOTIFY.
_FCNTL_COMMANDS: Final = (
    _F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_DUPFD_CLOEXEC, _F_SETPIPE_SZ, _F_GETPIPE_SZ,
)  # fmt: skip
_CONDITIONS: Final = (
    _Condition(_FCNTL, (_Test(1, _ALL, _FCNTL_COMMANDS),)),
    _Condition(_FCNTL, (_Test(1, _ALL, (_F_SETFL,)), _Test(2, _O_ASYNC, (0,)))),
    _Condition((41, 198), (_Test(0, _ALL, (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)),)),  # socket
    _Condition((9, 222), (_Test(2, _PROT_EXEC, (0,)),)),  # mmap
    _Condition((10, 226), (_Test(2, _PROT_EXEC, (0,)),)),  # mprotect
    _Condition((16, 29), (_Test(1, _ALL, (_FIONBIO, _FIOCLEX)),)),  # ioctl
)
# openat, without following links: files to append to, and folders on the way to them, below what Landlock permits.
_APPENDING: Final = (
    _Condition((257, 56), (_Test(2, _ALL, (_O_LARGEFILE | FILE_FLAGS, FILE_FLAGS)),)),
    _Condition((257, 56), (_Test(2, _ALL, (_O_LARGEFILE | FOLDER_FLAGS, FOLDER_FLAGS)),)),
)

# linux/seccomp.h and linux/filter.h
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM
_KILL: Final = 0x80000000
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # places in struct seccomp_data

# linux/prctl.h
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2

# linux/landlock.h; the numbers of its system calls are the same on all machines.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH: Final = 1
_WRITE_FILE, _MAKE_REGULAR = 1 << 1, 1 << 8
_VERSION_FLAG: Final = 1
# From version 6 on: signals to processes outside the sandbox, even those that the kernel sends for us.
_SCOPED_VERSION, _SCOPE_SIGNAL = 6, 1 << 1
# How many access rights for files each version knows.
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_MOST_RIGHTS: Final = 16


def is_supported() -> bool:
    """Whether the table has this machine. A 32-bit Python on a 64-bit kernel has other system calls."""
    return LIBC is not None and platform.machine() in _MACHINES and sys.maxsize > 2**32


def enter(folders: Sequence[int] = ()) -> None:
    """Sandbox the calling process for good; PR_SET_NO_NEW_PRIVS must be set. Raises StartError.

    `folders` are descriptors of the folders below which it may create files and append to them.
    """
    if LIBC is None or not is_supported():
        python = "" if sys.maxsize > 2**32 else " with a Python of 32 bits"
        raise StartError(f"worker_sandbox is not supported on {platform.system()} on {platform.machine()}{python}")
    _landlock(LIBC, folders)
    _seccomp(LIBC, *_MACHINES[platform.machine()], (*_CONDITIONS, *(_APPENDING if folders else ())))


def _seccomp(libc: ctypes.CDLL, architecture: int, column: int, conditions: Sequence[_Condition]) -> None:
    program = b"".join(_program(architecture, column, conditions))
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    zero = ctypes.c_ulong(0)
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    if libc.prctl(_PR_SET_SECCOMP, mode, ctypes.create_string_buffer(header), zero, zero) != 0:
        raise _failed("prctl(PR_SET_SECCOMP)")


def _program(architecture: int, column: int, conditions: Sequence[_Condition]) -> Iterable[bytes]:
    """A filter program for Linux's classic BPF."""
    yield from (_step(_LOAD, _ARCHITECTURE), _step(_IF_EQUAL, architecture, 1), _step(_RETURN, _KILL))
    yield _step(_LOAD, _NUMBER)
    for numbers in _CALLS.values():
        number = numbers[column]
        if number is not None:
            yield from (_step(_IF_EQUAL, number, 0, 1), _step(_RETURN, _ALLOW))
    for condition in conditions:
        yield from _conditional(condition, column)
    yield _step(_RETURN, _REFUSE)


def _conditional(condition: _Condition, column: int) -> Iterable[bytes]:
    body = [_step(_RETURN, _ALLOW)]
    for test in reversed(condition.tests):
        body = [*_tested(test, len(body)), *body]
    yield from (_step(_LOAD, _NUMBER), _step(_IF_EQUAL, condition.numbers[column], 0, len(body)), *body)


def _tested(test: _Test, rest: int) -> Iterable[bytes]:
    """Continue with the next step if the test holds, else skip `rest` more steps."""
    yield _step(_LOAD, _ARGUMENTS + 8 * test.argument)  # the lower half, as these machines are little-endian
    yield _step(_AND, test.mask)
    *others, last = test.values
    for place, value in enumerate(others):
        yield _step(_IF_EQUAL, value, len(others) - place)
    yield _step(_IF_EQUAL, last, 0, rest)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """struct sock_filter; the last two are the numbers of steps to skip."""
    return struct.pack("@HBBI", code, if_true, if_false, value)


def _landlock(libc: ctypes.CDLL, folders: Sequence[int]) -> None:
    """Allow access to files below `folders` only; nothing is done on a kernel without Landlock."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if version < 1:
        return
    handled = _ruleset(version)
    rules = libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        raise _failed("landlock_create_ruleset()")
    try:
        for folder in folders:
            # struct landlock_path_beneath_attr, which is packed
            beneath = struct.pack("=Qi", _WRITE_FILE | _MAKE_REGULAR, folder)
            if libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, beneath, 0) != 0:
                raise _failed("landlock_add_rule()")
        if libc.syscall(_RESTRICT_SELF, rules, 0) != 0:
            raise _failed("landlock_restrict_self()")
    finally:
        os.close(rules)


def _ruleset(version: int) -> bytes:
    """struct landlock_ruleset_attr: rights for files, for the network, and what is confined to the sandbox."""
    files = (1 << _RIGHTS.get(version, _MOST_RIGHTS)) - 1
    return struct.pack("@Q", files) if version < _SCOPED_VERSION else struct.pack("@QQQ", files, 0, _SCOPE_SIGNAL)


def _failed(call: str) -> StartError:
    return StartError(f"{call} failed {reason()}")
