from __future__ import annotations

import errno
import os

import pytest

from mailworker.shm.memory_file import MemoryFile


def test_its_size_is_for_good() -> None:
    file = MemoryFile.new("test", 8192)
    assert os.fstat(file.descriptor).st_size == 8192
    for size in (0, 4096, 16384):
        with pytest.raises(OSError) as caught:
            os.ftruncate(file.descriptor, size)
        assert caught.value.errno == errno.EPERM
    assert not os.get_inheritable(file.descriptor)


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


def test_a_system_without_such_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(OSError) as caught:
        MemoryFile.new("test", 4096)
    assert caught.value.errno == errno.ENOSYS
