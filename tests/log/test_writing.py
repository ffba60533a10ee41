"""Files that do not take all, by a system call that this test plays."""

from __future__ import annotations

import errno
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from mailworker.config.destinations import AccessLogFile
from mailworker.config.syslog import SyslogServer
from mailworker.log.losses import Losses
from mailworker.log.sinks import FileSink
from mailworker.log.writing import Appender, FileWriter, SyslogWriter
from mailworker.model import Level
from tests.support.recorded_log import RecordedLog

WRITE = os.write


class Disk:
    """Takes so many bytes, until there is room again."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.calls = 0
        self.number = errno.ENOSPC
        self.room = 1 << 20

    def write(self, descriptor: int, data: memoryview) -> int:
        if descriptor != self._descriptor:
            return WRITE(descriptor, data)
        self.calls += 1
        if not self.room:
            raise OSError(self.number, "")
        written = WRITE(descriptor, data[: self.room])
        self.room -= written
        return written


@pytest.fixture
def sink(tmp_path: Path) -> FileSink:
    return FileSink(tmp_path / "log")


@pytest.fixture
def disk(sink: FileSink, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(sink.descriptor)
    monkeypatch.setattr(os, "write", disk.write)
    return disk


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


@pytest.mark.parametrize("room", range(13))
def test_a_line_that_is_cut_is_ended_before_any_other(
    sink: FileSink, losses: Losses, disk: Disk, seconds: list[float], room: int
) -> None:
    appender = Appender(sink, losses)
    disk.room = room
    appender.append(b"one\ntwo\nthree\n"[:12] + b"\n", 3)
    for _ in range(3):
        seconds[0] += 1
        disk.room = 1
        appender.append(b"none\n", 1)
    seconds[0] += 1
    disk.room = 1 << 20
    appender.append(b"four\n", 1)
    lines = sink.path.read_bytes().splitlines()
    assert lines[-1] == b"four"
    assert set(lines) <= {b"one", b"two", b"thre", b"none", b"four"}
    assert len(lines) + losses.total == 7


def test_when_the_disk_is_full_nobody_tries_again_in_the_same_second(
    sink: FileSink, losses: Losses, log: RecordedLog, disk: Disk, seconds: list[float]
) -> None:
    appender = Appender(sink, losses)
    disk.room = 0
    for _ in range(5):
        appender.append(b"line\n", 1)
    assert disk.calls == 1
    assert log.lines == [f'[alert] write() to "{sink.path}" failed (28: No space left on device), 1 line lost']
    assert losses.total == 5
    seconds[0] += 1
    appender.append(b"line\n", 1)
    assert disk.calls == 2


def test_what_is_written_directly_and_cut_is_ended_before_any_other(
    sink: FileSink, losses: Losses, disk: Disk, seconds: list[float]
) -> None:
    appender = Appender(sink, losses)
    assert appender.direct.write(b"one\n") == 4
    assert not appender.direct.held
    WRITE(sink.descriptor, b"tw")  # all that there was room for
    disk.room = 0
    appender.delay(b"two\n", 2, None)
    assert appender.direct.held
    appender.append(b"lost\n", 1)
    seconds[0] += 1
    disk.room = 1 << 20
    appender.append(b"three\n", 1)
    assert not appender.direct.held
    appender.delay(b"lost\n", 0, OSError(errno.ENOSPC, ""))
    assert appender.direct.held
    assert sink.path.read_bytes() == b"one\ntwo\nthree\n"
    assert losses.total == 2


def test_other_failures_are_tried_again_at_once(sink: FileSink, losses: Losses, disk: Disk) -> None:
    appender = Appender(sink, losses)
    disk.room, disk.number = 0, errno.EAGAIN
    for _ in range(5):
        appender.append(b"line\n", 1)
    assert disk.calls == 5


def test_the_rest_of_a_compressed_part_is_never_left_out(
    sink: FileSink, losses: Losses, disk: Disk, seconds: list[float]
) -> None:
    writer = FileWriter(AccessLogFile(sink.path, buffer=1 << 16, gzip=1), sink, losses, never)
    disk.room = 15
    for number in range(3):
        seconds[0] += 1
        writer.take(b"", b"line %d\n" % number)
        writer.end_files() if number == 2 else writer._flush()
        disk.room = 3 if number == 0 else 1 << 20
    assert zcat(sink.path.read_bytes()) == b"line 0\nline 2\n"
    assert losses.total == 1


def never(seconds: float, action: Callable[[], None]) -> None:
    raise AssertionError("nothing is to be called later")


def zcat(data: bytes) -> bytes:
    read = b""
    while data:
        member = zlib.decompressobj(31)
        read += member.decompress(data)
        assert member.eof
        data = member.unused_data
    return read


def test_what_is_cut_when_the_file_ends_stays_so_and_is_counted(
    sink: FileSink, losses: Losses, disk: Disk, log: RecordedLog
) -> None:
    writer = FileWriter(AccessLogFile(sink.path), sink, losses, never)
    disk.room = 2
    writer.take(b"", b"line\n")
    writer.pause()
    assert losses.total == 0
    writer.end_files()
    assert log.lines == [f'[alert] write() to "{sink.path}" was incomplete, 1 line lost']
    disk.room = 100
    writer.end_files()
    assert sink.path.read_bytes() == b"li"


def test_a_line_longer_than_the_buffer_goes_by_itself_and_in_order(sink: FileSink, losses: Losses) -> None:
    writer = FileWriter(AccessLogFile(sink.path, buffer=8), sink, losses, never)
    for line, read in ((b"a\n", b""), (b"long long\n", b"a\nlong long\n"), (b"b\n", b"a\nlong long\n")):
        writer.take(b"", line)
        writer.pause()
        assert sink.path.read_bytes() == read
    writer.end_files()
    assert sink.path.read_bytes() == b"a\nlong long\nb\n"


def test_the_first_line_in_an_empty_buffer_sets_the_time(sink: FileSink, losses: Losses) -> None:
    waiting: list[tuple[float, Callable[[], None]]] = []
    writer = FileWriter(
        AccessLogFile(sink.path, buffer=100, flush_ms=500), sink, losses, lambda *later: waiting.append(later)
    )
    for line in (b"a\n", b"b\n"):
        writer.take(b"", line)
        writer.pause()
    ((seconds, flush),) = waiting
    assert seconds == 0.5
    flush()
    assert sink.path.read_bytes() == b"a\nb\n"
    writer.pause()
    assert len(waiting) == 1
    writer.take(b"", b"c\n")
    writer.pause()
    assert len(waiting) == 2


def test_a_syslog_server_that_has_no_room_loses_the_line(tmp_path: Path, losses: Losses, log: RecordedLog) -> None:
    settings = SyslogServer(str(tmp_path / "socket"), 2, Level.INFO, "tag", nohostname=True)
    writer = SyslogWriter(settings, losses)
    writer.take(b"", b"line\n")
    writer.pause()
    writer.end_files()
    name = f"unix:{tmp_path}/socket"
    assert log.lines == [f"[alert] send() to syslog {name} failed (2: No such file or directory), 1 line lost"]


@pytest.mark.parametrize(
    ("settings", "written"), [({}, b"a\nb\n"), ({"buffer": 1 << 16}, b""), ({"buffer": 3}, b"a\n")]
)
def test_a_line_behind_which_none_is_at_hand_is_written_at_once_unless_it_is_to_be_collected(
    sink: FileSink, losses: Losses, settings: dict[str, int], written: bytes
) -> None:
    writer = FileWriter(AccessLogFile(sink.path, **settings), sink, losses, never)
    for line in (b"a\n", b"b\n"):
        writer.take(b"", line)
        writer.pause()
    assert sink.path.read_bytes() == written
    writer.end_files()
    assert sink.path.read_bytes() == b"a\nb\n"


def test_lines_that_there_is_no_memory_to_compress_are_counted(
    sink: FileSink, losses: Losses, log: RecordedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack(*_: object, **__: object) -> None:
        raise MemoryError

    settings = AccessLogFile(sink.path, buffer=4096, gzip=1)
    writer = FileWriter(settings, sink, losses, lambda seconds, action: None)
    with monkeypatch.context() as patch:
        patch.setattr(zlib, "compressobj", lack)
        writer.take(b"", b"one\n")
        writer.take(b"", b"two\n")
        writer.end_files()
    assert losses.total == 2
    assert log.lines == [f'[alert] write() to "{sink.path}" failed (12: Cannot allocate memory), 2 lines lost']
    writer.take(b"", b"three\n")
    writer.end_files()
    assert zlib.decompress(sink.path.read_bytes(), 31) == b"three\n"
