"""A content in memory that nobody can change any more, to be mapped by whoever gets its descriptor."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

from mailworker.native.mapping import map_read_only


def seal(name: str, content: bytes) -> int:
    """A descriptor, open for reading, of a file in memory; `name` is what the kernel calls it. Raises OSError."""
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    writable = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.fchmod(writable, 0o600)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(writable, rest) :]
        seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        fcntl.fcntl(writable, fcntl.F_ADD_SEALS, seals)
        # Kernels before 6.7 map such a file only where it is open for reading alone.
        return os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)


def read_sealed(descriptor: int) -> Any:
    """The content, as a buffer; the descriptor is closed. Raises OSError."""
    try:
        return map_read_only(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
