"""A process that fences itself in and then tries to get out, to be run as a program.

`python -m tests.process.fenced FOLDER [seccomp]` has its logs in FOLDER and prints what became of each attempt as JSON:
the name of an error number, or "done". With `seccomp` it does without Landlock.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

from mailworker.log.log import Log
from mailworker.process.system import sandbox
from mailworker.process.system.hardening import LIBC, harden

# linux/fcntl.h, asm-generic/sockios.h and linux/prctl.h, where Python does not name them
F_SETOWN_EX, F_OWNER_PID = 15, 1
FIOSETOWN, SIOCSPGRP = 0x8901, 0x8902
PR_SET_PDEATHSIG = 1
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
PTRACE_ATTACH = 16
PROCESS_VM_READV = {"x86_64": 310, "aarch64": 270}


def call(result: int) -> None:
    """What a call of the C library gave; raises OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def attempts(folder: Path, parent: int) -> dict[str, Callable[[], object]]:
    """What a worker that somebody has taken over would try."""
    assert LIBC is not None
    libc, listening = LIBC, socket.socket()
    number = PROCESS_VM_READV[os.uname().machine]

    return {
        "append to a log": lambda: os.open(folder / "error.log", APPEND),
        "begin a log": lambda: os.open(folder / "new.log", APPEND),
        "write to another's memory": lambda: os.open(f"/proc/{parent}/mem", os.O_WRONLY | os.O_APPEND),
        "read a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "read a log": lambda: os.open(folder / "error.log", os.O_RDONLY),
        "read and write a log": lambda: os.open(folder / "error.log", os.O_RDWR | os.O_APPEND),
        "empty a log": lambda: os.open(folder / "error.log", APPEND | os.O_TRUNC),
        "write over a log": lambda: os.open(folder / "error.log", os.O_WRONLY),
        "remove a log": (folder / "error.log").unlink,
        "rename a log": lambda: (folder / "error.log").rename(folder / "other.log"),
        "list a folder": lambda: list(folder.iterdir()),
        "execute a program": lambda: os.execv("/bin/true", ["true"]),
        "fork": os.fork,
        "trace a process": lambda: call(libc.ptrace(PTRACE_ATTACH, parent, None, None)),
        "read another's memory": lambda: call(libc.syscall(number, parent, None, 0, None, 0, 0)),
        "signal a process": lambda: os.kill(parent, 0),
        **{f"signal by {name}": attempt for name, attempt in signalling(parent).items()},
        "listen": listening.listen,
        "take a port": lambda: socket.socket(type=socket.SOCK_DGRAM).bind(("127.0.0.1", 0)),
        "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "make memory executable": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
        "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE)),
        "become another": lambda: os.setuid(os.getuid()),
        "enter a namespace": lambda: call(libc.unshare(0x10000000)),
        "connect": lambda: socket.socket().connect_ex(("127.0.0.1", 9)),
    }


def signalling(parent: int) -> dict[str, Callable[[], object]]:
    """Ways to let the kernel send a signal for us, when a descriptor becomes ready or somebody dies."""
    assert LIBC is not None
    libc = LIBC
    ours = socket.socket()
    owner = struct.pack("@ii", F_OWNER_PID, parent)
    return {
        "F_SETOWN": lambda: fcntl.fcntl(ours, fcntl.F_SETOWN, parent),
        "F_SETOWN_EX": lambda: fcntl.fcntl(ours, F_SETOWN_EX, owner),
        "F_SETSIG": lambda: fcntl.fcntl(ours, fcntl.F_SETSIG, signal.SIGTERM),
        "F_SETLEASE": lambda: fcntl.fcntl(ours, fcntl.F_SETLEASE, fcntl.F_WRLCK),
        "F_NOTIFY": lambda: fcntl.fcntl(ours, fcntl.F_NOTIFY, fcntl.DN_CREATE),
        "O_ASYNC": lambda: fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC),
        "FIOASYNC": lambda: fcntl.ioctl(ours, termios.FIOASYNC, struct.pack("@i", 1)),
        "FIOSETOWN": lambda: fcntl.ioctl(ours, FIOSETOWN, owner),
        "SIOCSPGRP": lambda: fcntl.ioctl(ours, SIOCSPGRP, owner),
        "PR_SET_PDEATHSIG": lambda: call(
            libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), None, None, None)
        ),
    }


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def main() -> None:
    folder = Path(sys.argv[1])
    tried = attempts(folder, os.getppid())
    harden(Log([]), core_dumps=True)
    if sys.argv[2:] == ["seccomp"]:
        sandbox._landlock = lambda libc, folders: None
    sandbox.enter()

    sys.stdout.write(json.dumps({name: outcome(attempt) for name, attempt in tried.items()}))


if __name__ == "__main__":
    main()
