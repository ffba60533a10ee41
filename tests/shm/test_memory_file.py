from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from mailworker.shm.memory_file import MemoryFile


def descriptors_of(name: str) -> int:
    """How many this process has of files in memory with this name."""
    links = [*Path("/proc/self/fd").iterdir()]
    return sum(link.is_symlink() and str(link.readlink()) == f"/memfd:{name} (deleted)" for link in links)


def test_its_size_is_for_good() -> None:
    file = MemoryFile.new("test", 8192)
    assert os.fstat(file.descriptor).st_size == 8192
    for size in (0, 4096, 16384):
        with pytest.raises(OSError) as caught:
            os.ftruncate(file.descriptor, size)
        assert caught.value.errno == errno.EPERM
    assert not os.get_inheritable(file.descriptor)
    assert stat.S_IMODE(os.fstat(file.descriptor).st_mode) == 0o600  # else others could open it in /proc


def test_it_is_closed_once_and_a_copy_on_its_own() -> None:
    file = MemoryFile.new("test", 4096)
    copy = file.copy()
    file.close()
    with pytest.raises(OSError):
        os.fstat(file.descriptor)
    reading, writing = os.pipe()
    os.dup2(reading, file.descriptor)  # the number is somebody else's now
    file.close()
    for descriptor in {reading, writing, file.descriptor}:
        os.close(descriptor)
    assert os.fstat(copy.descriptor).st_size == 4096
    del copy


def test_a_size_that_cannot_be_leaves_no_file() -> None:
    with pytest.raises(OSError) as caught:
        MemoryFile.new("impossible", -1)
    assert caught.value.errno == errno.EINVAL
    assert descriptors_of("impossible") == 0
