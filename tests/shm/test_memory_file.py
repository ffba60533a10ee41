from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from mailworker.shm.memory_file import MemoryFile, borrowed_memory, writable_memory


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


def test_what_is_borrowed_is_the_same_memory() -> None:
    memory, file = writable_memory("lent", 4096)
    assert file is not None
    borrowed = borrowed_memory(file.descriptor, 4096)
    assert borrowed is not None
    memory[:1] = b"x"
    assert bytes(borrowed[0][:1]) == b"x"
    file.close()
    assert os.fstat(borrowed[1].descriptor).st_size == 4096


@pytest.mark.parametrize("size", [4097, 1 << 20])
def test_nothing_is_borrowed_beyond_the_end_of_a_file(size: int) -> None:
    """The kernel would end the process that reads there."""
    file = MemoryFile.new("short", 4096)
    assert borrowed_memory(file.descriptor, size) is None
    assert descriptors_of("short") == 1


def test_what_is_no_file_is_not_borrowed() -> None:
    reading, writing = os.pipe()
    for descriptor in (reading, writing):
        assert borrowed_memory(descriptor, 1) is None
        os.close(descriptor)
        assert borrowed_memory(descriptor, 1) is None


def test_memory_is_there_without_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    memory, file = writable_memory("none", 4096)
    assert (bytes(memory), file) == (bytes(4096), None)
