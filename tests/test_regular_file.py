from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from mailworker.regular_file import read_regular


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def descriptors() -> list[str]:
    return [path.name for path in Path("/proc/self/fd").iterdir()]


def test_a_regular_file_is_read_whole_or_up_to_a_limit(file: Path) -> None:
    assert [read_regular(str(file), most=most) for most in (-1, 0, 3, 100)] == [b"content", b"", b"con", b"content"]


def test_a_link_is_followed_unless_that_is_forbidden(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    assert read_regular(str(link)) == b"content"
    with pytest.raises(OSError, match="symbolic"):
        read_regular(str(link), follow=False)


def test_a_pipe_without_a_writer_and_a_device_are_left_alone_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ours, theirs = pty.openpty()
    try:
        paths = [str(tmp_path / "pipe"), "/dev/zero", os.ttyname(theirs)]
        assert [read_regular(path) for path in paths] == [None] * len(paths)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_folder_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(IsADirectoryError):
        read_regular(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        read_regular(str(tmp_path / "missing"))
    assert descriptors() == before
