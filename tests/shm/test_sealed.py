from __future__ import annotations

import errno
import mmap
import os
import stat

import pytest

from mailworker.shm.sealed import make_file, read_sealed, seal
from tests.shm.test_memory_file import descriptors_of


@pytest.mark.parametrize("size", [1, 4096, 1_000_001])
def test_a_content_is_read_by_its_descriptor_which_is_closed(size: int) -> None:
    content = os.urandom(size)
    descriptor = seal("content", content)
    assert descriptors_of("content") == 1
    assert not os.get_inheritable(descriptor)
    assert stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o600  # else others could open it in /proc
    assert bytes(read_sealed(descriptor)) == content
    with pytest.raises(OSError) as caught:
        os.fstat(descriptor)
    assert caught.value.errno == errno.EBADF


def test_a_system_without_such_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(OSError) as caught:
        seal("test", b"content")
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.parametrize("sealed", [True, False])
def test_what_cannot_be_filled_is_no_file(sealed: bool) -> None:
    def fill(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left on device"):
        make_file("unfilled", fill, sealed=sealed)
    assert descriptors_of("unfilled") == 0


def test_nobody_can_change_it() -> None:
    descriptor = seal("test", b"content")
    try:
        with pytest.raises(OSError):
            os.write(descriptor, b"x")
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
        for attempt in (
            lambda: os.write(again, b"x"),
            lambda: os.ftruncate(again, 1),
            lambda: os.ftruncate(again, 100),
            lambda: mmap.mmap(again, 7, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
        ):
            with pytest.raises(PermissionError):
                attempt()
        os.close(again)
    finally:
        os.close(descriptor)
