from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

import pytest

from mailworker.errors import StartError
from mailworker.shm.anonymous import anonymous, fill, pages


def test_it_has_exactly_its_size_of_zeros() -> None:
    assert bytes(anonymous(40000)) == bytes(40000)


def test_a_child_writes_what_its_parent_reads() -> None:
    memory = anonymous(4096)
    pid = os.fork()
    if not pid:
        memory[:5] = b"child"
        os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)
    assert memory[:6] == b"child\0"


def test_a_size_that_the_system_refuses_is_an_error_of_the_start() -> None:
    for size in (1 << 62, 1 << 64):
        with pytest.raises(StartError, match=rf"^mmap\(MAP_ANON\|MAP_SHARED, {size}\) failed \(12: "):
            anonymous(size)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTDUMP"), reason="Linux has this advice")
def test_core_files_do_not_hold_it() -> None:
    size = 1244
    memory = anonymous(size * 1024)
    pattern = rf"/dev/zero \(deleted\)\nSize: +{size} kB\n(?:(?!VmFlags).*\n)*VmFlags: (.*)"
    (flags,) = re.findall(pattern, Path("/proc/self/smaps").read_text())
    assert "dd" in flags.split()
    memory.close()


def test_pages_of_zeros_are_not_copied() -> None:
    size = 5 * mmap.PAGESIZE + 7
    content = bytearray(size)
    content[mmap.PAGESIZE], content[-1] = 1, 2
    found = list(pages(memoryview(content)))
    assert [start for start, _ in found] == [mmap.PAGESIZE, 5 * mmap.PAGESIZE]
    assert [len(page) for _, page in found] == [mmap.PAGESIZE, 7]
    memory = anonymous(size)
    fill(memory, content)
    assert bytes(memory) == content
    assert list(pages(b"")) == []
