from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailworker.native.mapping import map_read_only, map_shared


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mapped"
    path.write_bytes(b"before".ljust(4096, b"\0"))
    return path


def map_file(file: Path, size: int) -> memoryview:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return memoryview(map_read_only(descriptor, size))
    finally:
        os.close(descriptor)


def test_it_changes_with_the_file_whose_descriptor_may_be_closed(file: Path) -> None:
    mapped = map_file(file, 6)
    assert bytes(mapped) == b"before"
    with file.open("r+b") as written:
        written.write(b"behind")
    assert bytes(mapped) == b"behind"


def test_it_can_only_be_read(file: Path) -> None:
    mapped = map_file(file, 4096)
    (line,) = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(file))]
    assert line.split()[1] == "r--s"
    del mapped
    assert str(file) not in Path("/proc/self/maps").read_text()


def test_what_is_no_open_file_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        map_read_only(-1, 4096)


def test_more_than_there_are_addresses_is_an_error_of_the_system(file: Path) -> None:
    with file.open("r+b") as opened:
        for map_ in (map_read_only, map_shared):
            with pytest.raises(OSError, match=r"^\[Errno 12\] "):
                map_(opened.fileno(), 1 << 63)
