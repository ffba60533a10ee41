from __future__ import annotations

from pathlib import Path

import pytest

from mailworker.config.destinations import AccessLogFile, AccessLogPattern
from mailworker.config.syslog import SyslogServer
from mailworker.log.destinations import Destinations
from mailworker.log.log import OpenFiles
from mailworker.model import Level
from mailworker.variables.template import Template
from tests.support.recorded_log import RecordedLog


@pytest.fixture
def destinations(tmp_path: Path, log: RecordedLog) -> Destinations:
    settings = (
        AccessLogFile(tmp_path / "at once"),
        AccessLogFile(tmp_path / "buffered", buffer=100),
        AccessLogPattern(tmp_path, Template((b"x",), "")),
        SyslogServer(str(tmp_path / "socket"), 2, Level.INFO, "tag", nohostname=True),
    )
    return Destinations(settings, OpenFiles().open, log.log, lambda seconds, action: None)


def test_a_line_goes_where_it_belongs(destinations: Destinations, tmp_path: Path, log: RecordedLog) -> None:
    assert len(destinations) == 4
    for index in range(4):
        destinations.take(index, b"named" if index == 2 else b"", b"%d\n" % index)
    destinations.pause()
    assert (tmp_path / "at once").read_bytes() == b"0\n"
    assert (tmp_path / "buffered").read_bytes() == b""
    assert (tmp_path / "named").read_bytes() == b"2\n"
    name = f"unix:{tmp_path}/socket"
    assert log.lines == [f"[warn] send() to syslog {name} failed (2: No such file or directory), 1 line lost"]
    destinations.end_files()
    assert (tmp_path / "buffered").read_bytes() == b"1\n"


def test_who_writes_by_himself_writes_at_once(destinations: Destinations, tmp_path: Path) -> None:
    destinations.send(0, b"", b"line\n")
    assert (tmp_path / "at once").read_bytes() == b"line\n"


def test_there_is_no_other_destination(destinations: Destinations) -> None:
    with pytest.raises(IndexError):
        destinations.take(4, b"", b"line\n")


def test_the_end_tells_of_all_that_was_lost(destinations: Destinations, log: RecordedLog) -> None:
    for _ in range(3):
        destinations.send(3, b"", b"line\n")
    destinations.close()
    assert [line.split(", ")[1] for line in log.lines] == ["1 line lost", "2 lines lost"]


def test_the_folders_are_those_of_patterns(destinations: Destinations) -> None:
    assert len(destinations.folders) == 1


def test_lines_go_directly_to_files_without_a_buffer_alone(destinations: Destinations, tmp_path: Path) -> None:
    direct, *others = destinations.direct
    assert direct is not None
    assert others == [None, None, None]
    assert direct.write(b"one\n") == 4
    destinations.delay(0, b"two\n", 0, None)
    assert (tmp_path / "at once").read_bytes() == b"one\ntwo\n"
