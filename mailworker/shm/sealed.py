"""Sealed files in memory (memfd): their size, or also their content, cannot be changed."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mailworker.native.mapping import map_read_only

_LONGEST_NAME: Final = 249  # bytes (memfd_create(2))


def memfd_name(name: str) -> str:
    """The name of a file in memory, which is only shown in /proc, so a long one is cut off."""
    return os.fsdecode(os.fsencode(name)[:_LONGEST_NAME])


def seal(name: str, content: bytes) -> int:
    """A read-only descriptor of a file in memory with this content, which cannot be changed; see `make_file`."""
    return make_file(name, partial(_write, content), sealed=True)


def make_file(name: str, fill: Callable[[int], object], *, sealed: bool) -> int:
    """A read-only descriptor of a file in memory; `name` is shown in /proc/PID/maps. Raises OSError.

    `fill` is called with a descriptor for writing. Then the size is fixed, and with `sealed` the content as well.
    """
    writable = make_writable_file(name, fill, sealed=sealed)
    try:
        # Kernels before 6.7 map a write-sealed file only through a read-only descriptor.
        return os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)


def make_writable_file(name: str, fill: Callable[[int], object], *, sealed: bool = False) -> int:
    """As `make_file`, but returns a descriptor for writing."""
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    writable = os.memfd_create(memfd_name(name), os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(writable, 0o600)
        fill(writable)
        seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(writable, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_WRITE if sealed else seals)
    except BaseException:
        os.close(writable)
        raise
    return writable


def read_sealed(descriptor: int) -> Any:
    """The content, as a buffer; the descriptor is closed. Raises OSError."""
    try:
        return map_read_only(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _write(content: bytes, descriptor: int) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
