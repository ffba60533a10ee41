from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from mailworker.errors import StartError
from mailworker.process.system import pid_file


def test_it_holds_our_process_id_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("a much longer text than any process id\n")
    pid_file.write(path)
    assert path.read_text() == f"{os.getpid()}\n"
    assert pid_file.read(path) == os.getpid()
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "pid"
    target.write_text("precious")
    path.symlink_to(target)
    pid_file.write(path)
    assert target.read_text() == "precious"
    assert not path.is_symlink()


def test_a_planted_temporary_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / f"pid.{os.getpid()}").symlink_to(target)
    pid_file.write(tmp_path / "pid")
    assert target.read_text() == "precious"


def test_a_missing_folder_is_named_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "pid"
    with pytest.raises(StartError, match=rf'^open\(\) "{path}" failed \(2: No such file or directory\)$'):
        pid_file.write(path)


def test_nothing_is_left_where_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("17\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(StartError, match=rf'^write\(\) "{path}" failed \(27: File too large\)$'):
            pid_file.write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "17\n"


def test_no_part_of_a_process_id_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with pytest.raises(StartError, match=rf'^write\(\) "{path}" failed \(28: No space left on device\)$'):
            pid_file.write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.mkdir()
    with pytest.raises(StartError, match=rf'^open\(\) "{path}" failed \(21: Is a directory\)$'):
        pid_file.write(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_check_makes_an_empty_file(tmp_path: Path) -> None:
    pid_file.check(tmp_path / "pid")
    assert (tmp_path / "pid").read_bytes() == b""


def test_a_check_leaves_the_content(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("17\n")
    pid_file.check(tmp_path / "pid")
    assert (tmp_path / "pid").read_text() == "17\n"


def test_a_check_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "pid").symlink_to(tmp_path / "target")
    with pytest.raises(StartError):
        pid_file.check(tmp_path / "pid")


@pytest.mark.parametrize("text", ["", "17\n", "nonsense"])
def test_only_our_own_file_is_removed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pid"
    path.write_text(text)
    pid_file.remove(path)
    assert path.read_text() == text
    pid_file.write(path)
    pid_file.remove(path)
    assert not path.exists()


def test_a_file_that_is_gone_need_not_be_removed(tmp_path: Path) -> None:
    pid_file.remove(tmp_path / "pid")
    assert not (tmp_path / "pid").exists()


@pytest.mark.parametrize("text", ["", "0\n", "-1\n", "1 2", "one", " 1"])
def test_a_text_that_is_no_process_id_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    with pytest.raises(StartError, match=r"^invalid PID number "):
        pid_file.read(tmp_path / "pid")


@pytest.mark.parametrize("text", ["17", "17\n", "17\r\n"])
def test_line_ends_do_not_matter(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    assert pid_file.read(tmp_path / "pid") == 17
