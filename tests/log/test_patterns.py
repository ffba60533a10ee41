"""Names that clients choose lead nowhere else than below the folder."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Final

import pytest

from mailworker.config.destinations import AccessLogPattern
from mailworker.log.losses import Losses
from mailworker.log.patterns import MOST, PatternWriter
from mailworker.variables.template import Template
from tests.support.recorded_log import RecordedLog

FOLDERS: Final = Template((b"folders/", b"x"), "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logs" / "inner").mkdir(parents=True)
    return tmp_path / "logs"


def new_writer(folder: Path, losses: Losses, depth: int = 1) -> PatternWriter:
    writer = PatternWriter(AccessLogPattern(folder, Template((b"/".join([b"x"] * depth),), "")), losses)
    assert writer._depth == depth
    return writer


def write(writer: PatternWriter, *paths: bytes, line: bytes = b"line\n") -> None:
    for path in paths:
        writer.take(path, line)
    writer.pause()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_each_name_is_a_file(folder: Path, losses: Losses) -> None:
    writer = new_writer(folder, losses)
    write(writer, b"a.log", b"b.log", b"a.log", "ü%\n".encode())
    assert (folder / "a.log").read_bytes() == b"line\nline\n"
    assert (folder / "b.log").read_bytes() == b"line\n"
    assert (folder / "ü%\n").read_bytes() == b"line\n"
    assert losses.total == 0


def test_folders_that_are_there_are_passed(folder: Path, losses: Losses) -> None:
    writer = new_writer(folder, losses, depth=2)
    before = open_descriptors()
    write(writer, b"inner/a.log", b"missing/a.log")
    assert (folder / "inner" / "a.log").read_bytes() == b"line\n"
    assert not (folder / "missing").exists()
    assert losses.total == 1
    writer.end_files()
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "path",
    [b"", b".", b"..", b".hidden", b"../a", b"/etc/passwd", b"inner/a", b"a/", b"/a", b"a\0b", b"a" * 300],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(folder: Path, losses: Losses, log: RecordedLog, path: bytes) -> None:
    write(new_writer(folder, losses), path)
    assert losses.total == 1
    assert "is not a valid name for a log, 1 line lost" in log.lines[0] or "File name too long" in log.lines[0]
    assert [each.name for each in folder.iterdir()] == ["inner"]
    assert [each.name for each in folder.parent.iterdir()] == ["logs"]


@pytest.mark.parametrize("path", [b"inner/../a", b"./a", b"../a", b"/a", b"a/b/c", b"link/a", b"inner/link"])
def test_no_link_is_followed_below_the_folder(folder: Path, losses: Losses, path: bytes) -> None:
    (folder.parent / "outer").mkdir()
    (folder.parent / "outer" / "a").touch()
    (folder / "link").symlink_to(folder.parent / "outer")
    (folder / "inner" / "link").symlink_to(folder.parent / "outer" / "a")
    write(new_writer(folder, losses, depth=2), path)
    assert losses.total == 1
    assert (folder.parent / "outer" / "a").read_bytes() == b""


def test_the_folder_itself_may_be_a_link_and_come_later(folder: Path, losses: Losses) -> None:
    writer = new_writer(folder.parent / "link", losses)
    assert writer.folder is None
    write(writer, b"a")
    assert losses.total == 1
    (folder.parent / "link").symlink_to(folder)
    write(writer, b"a")
    assert (folder / "a").read_bytes() == b"line\n"


def test_the_reason_of_the_start_is_told_where_the_sandbox_refuses_each_later_try(
    folder: Path, losses: Losses, log: RecordedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_writer(folder / "later", losses)

    def refuse(number: int) -> None:
        def fail(*_: object, **__: object) -> int:
            raise OSError(number, "")

        monkeypatch.setattr(os, "open", fail)
        write(writer, b"a")
        losses.report()

    refuse(errno.EPERM)
    refuse(errno.EACCES)
    opening = f'[alert] open() "{folder}/later/a" failed'
    assert log.lines == [
        f"{opening} (2: No such file or directory), 1 line lost",
        f"{opening} (13: Permission denied), 1 line lost",
    ]


def test_lines_that_wait_are_written_before_files_are_reopened(folder: Path, losses: Losses) -> None:
    writer = new_writer(folder, losses)
    writer.take(b"a", b"line\n")
    writer.end_files()
    assert (folder / "a").read_bytes() == b"line\n"


def test_what_is_shown_of_a_refused_name_is_one_line(folder: Path, losses: Losses, log: RecordedLog) -> None:
    write(new_writer(folder, losses), b'."\n\xff')
    assert log.lines == [f'[alert] "{folder}/.\\x22\\x0A\\xFF" is not a valid name for a log, 1 line lost']


def test_a_bounded_number_of_files_is_open_the_last_used_ones(folder: Path, losses: Losses) -> None:
    writer = new_writer(folder, losses)
    before = open_descriptors()
    for number in range(3 * MOST):
        write(writer, b"%d" % number, b"first")
    assert open_descriptors() - before == MOST
    assert b"first" in writer._files
    writer.end_files()
    assert open_descriptors() == before
    assert len(list(folder.iterdir())) == 3 * MOST + 2


def test_files_that_are_moved_are_found_out_after_a_minute_or_when_logs_are_reopened(
    folder: Path, losses: Losses, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, now, before = new_writer(folder, losses), [time.monotonic()], open_descriptors()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for pause in (0, 61, 0):
        now[0] += pause
        write(writer, b"a")
        (folder / "a").rename(folder / f"a.{now[0]}") if (folder / "a").exists() else None
    assert sorted(each.stat().st_size for each in folder.glob("a.*")) == [5, 10]
    writer.end_files()
    assert open_descriptors() == before
    write(writer, b"a")
    assert (folder / "a").read_bytes() == b"line\n"


def test_a_file_whose_last_lines_a_full_disk_refuses_is_opened_again(
    folder: Path, losses: Losses, log: RecordedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = os.close

    def fail(descriptor: int) -> None:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        close(descriptor)
        if regular:
            raise OSError(errno.EDQUOT, "")

    monkeypatch.setattr(os, "close", fail)
    writer = new_writer(folder, losses)
    write(writer, b"a.log")
    writer.end_files()
    write(writer, b"a.log")
    assert (folder / "a.log").read_bytes() == b"line\nline\n"
    assert log.lines == [f'[alert] close() "{folder}/a.log" failed (122: Disk quota exceeded), 1 line lost']
