from __future__ import annotations

import errno
import json
import os
import re
import socket
import time
from pathlib import Path

import pytest

from mailworker.config.logs import FileLog, LogTarget, MemoryLog, StderrLog, SyslogLog
from mailworker.config.syslog import SyslogServer
from mailworker.errors import StartError
from mailworker.log.log import Console, Log, OpenFiles, open_logs
from mailworker.model import Level


def test_each_target_has_its_own_level(tmp_path: Path) -> None:
    files = OpenFiles()
    log = open_logs([FileLog(tmp_path / "a", Level.ERROR), FileLog(tmp_path / "b", Level.INFO)], files)
    for level in (Level.CRIT, Level.ERROR, Level.INFO, Level.DEBUG):
        log.write(level, level.name)
    files.close()
    assert [line.split()[-1] for line in (tmp_path / "a").read_text().splitlines()] == ["CRIT", "ERROR"]
    assert [line.split()[-1] for line in (tmp_path / "b").read_text().splitlines()] == ["CRIT", "ERROR", "INFO"]


def test_a_log_is_as_verbose_as_the_most_verbose_target(tmp_path: Path) -> None:
    log = open_logs([StderrLog(Level.CRIT), MemoryLog(100, Level.INFO)], OpenFiles())
    assert log.level is Level.INFO
    assert log.enabled(Level.INFO)
    assert not log.enabled(Level.DEBUG)
    assert (log.informative, log.talkative) == (True, False)
    assert log.verbose().talkative


def test_a_log_can_be_limited_for_a_while(tmp_path: Path) -> None:
    files = OpenFiles()
    targets = [FileLog(tmp_path / "a", Level.ERROR), FileLog(tmp_path / "b", Level.INFO, json=True)]
    log = open_logs(targets, files)
    for level, informative, talkative in ((Level.DEBUG, True, True), (Level.ALERT, False, False), (None, True, False)):
        log.limit(level)
        assert (log.informative, log.talkative) == (informative, talkative)
        for each in (Level.ALERT, Level.ERROR, Level.INFO, Level.DEBUG):
            log.write(each, each.name)
    files.close()
    lines = ["ALERT", "ERROR", "INFO", "DEBUG", "ALERT", "ALERT", "ERROR", "INFO"]
    assert [line.split()[-1] for line in (tmp_path / "a").read_text().splitlines()] == lines[:-1]
    assert [json.loads(line)["message"] for line in (tmp_path / "b").read_text().splitlines()] == lines


def test_logs_of_one_cycle_share_a_file(tmp_path: Path) -> None:
    files = OpenFiles()
    target = FileLog(tmp_path / "error.log", Level.ERROR)
    first, second = open_logs([target], files), open_logs([target], files)
    assert first.descriptor == second.descriptor
    assert files.descriptors == [first.descriptor]
    (tmp_path / "error.log").rename(tmp_path / "moved")
    files.reopen(first)
    second.write(Level.ERROR, "after")
    files.close()
    assert (tmp_path / "error.log").read_text().endswith(": after\n")
    assert files.descriptors == []


def test_a_file_that_cannot_be_reopened_is_complained_about(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    files = OpenFiles()
    log = open_logs([FileLog(tmp_path / "logs" / "error.log", Level.ERROR)], files)
    (tmp_path / "logs").rename(tmp_path / "moved")
    files.reopen(log)
    files.close()
    assert "[emerg]" in (tmp_path / "moved" / "error.log").read_text()


def test_files_that_were_opened_elsewhere_are_gone_on_in(tmp_path: Path) -> None:
    files, elsewhere = OpenFiles(), OpenFiles()
    log = open_logs([FileLog(tmp_path / "a", Level.ERROR), FileLog(tmp_path / "b", Level.ERROR)], files)
    for name in ("a", "b"):
        (tmp_path / name).rename(tmp_path / f"moved {name}")
    open_logs([FileLog(tmp_path / "a", Level.ERROR), FileLog(tmp_path / "c", Level.ERROR)], elsewhere)
    given = elsewhere.by_path
    files.adopt(log, given)
    assert files.by_path[tmp_path / "a"] == given[tmp_path / "a"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(given[tmp_path / "c"])
    log.write(Level.ERROR, "after")
    files.close()
    assert [(tmp_path / name).read_text().count("after") for name in ("a", "b", "moved a", "moved b")] == [1, 1, 0, 0]


@pytest.mark.parametrize("opened_elsewhere", [True, False])
def test_a_file_whose_last_lines_a_full_disk_refuses_is_left_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened_elsewhere: bool
) -> None:
    """close() of NFS says so, and has closed the file: later lines went to whatever had its number then."""
    files, close = OpenFiles(), os.close
    path = tmp_path / "error.log"
    log = open_logs([FileLog(path, Level.ERROR)], files)
    path.rename(tmp_path / "moved")
    former = files.by_path[path]
    elsewhere = os.open(path, os.O_WRONLY | os.O_CREAT) if opened_elsewhere else -1

    def fail(descriptor: int) -> None:
        close(descriptor)
        if descriptor == former:
            raise OSError(errno.EDQUOT, "")

    monkeypatch.setattr(os, "close", fail)
    if opened_elsewhere:
        files.adopt(log, {path: elsewhere})
    else:
        files.reopen(log)
    assert files.by_path[path] != former
    files.close()
    assert path.read_text().endswith(f': close() "{path}" failed (122: Disk quota exceeded)\n')
    assert not (tmp_path / "moved").read_text()


def test_a_target_that_cannot_be_opened_fails(tmp_path: Path) -> None:
    with pytest.raises(StartError):
        open_logs([FileLog(tmp_path / "missing" / "error.log", Level.ERROR)], OpenFiles())


def test_stderr_comes_before_later_files(tmp_path: Path) -> None:
    files = OpenFiles()
    file, stderr = FileLog(tmp_path / "error.log", Level.ERROR), StderrLog(Level.ERROR)
    assert open_logs([stderr, file], files).descriptor is None
    assert open_logs([file, stderr], files).descriptor == files.descriptors[0]
    assert open_logs([MemoryLog(100, Level.ERROR)], files).descriptor is None
    files.close()


def test_sockets_to_syslog_servers_are_among_the_open_files(tmp_path: Path) -> None:
    files = OpenFiles()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        log = open_logs([SyslogLog(SyslogServer(str(tmp_path / "log"), tag="t"), Level.ERROR)], files)
        assert files.descriptors == []
        log.write(Level.ERROR, "message")
        assert len(files.descriptors) == 1
    files.close()
    assert files.descriptors == []


def test_syslog_is_not_connected_before_it_is_needed(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    log = open_logs([SyslogLog(SyslogServer(str(tmp_path / "log"), tag="t"), Level.ERROR)], OpenFiles())
    log.write(Level.ERROR, "lost")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_lines_that_syslog_has_lost_are_told_to_a_file_at_once(tmp_path: Path) -> None:
    targets: list[LogTarget] = [
        FileLog(tmp_path / "text.log", Level.ERROR),
        FileLog(tmp_path / "json.log", Level.ERROR, json=True),
        SyslogLog(SyslogServer(str(tmp_path / "syslog"), tag="t"), Level.INFO),
    ]
    log = open_logs(targets, OpenFiles())
    log.write(Level.INFO, "lost")
    log.write(Level.INFO, "lost as well")
    lost = f"send() to syslog unix:{tmp_path}/syslog failed (2: No such file or directory), 1 line lost"
    assert re.fullmatch(rf"\S+ \S+ \[alert\] \S+ {re.escape(lost)}\n", (tmp_path / "text.log").read_text())
    assert json.loads((tmp_path / "json.log").read_text())["message"] == lost


def test_a_syslog_server_hears_itself_what_it_has_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "syslog")
    files = OpenFiles()
    log = open_logs([SyslogLog(SyslogServer(path, tag="t"), Level.ERROR)], files)
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now)
    log.write(Level.ERROR, "lost")
    log.write(Level.ERROR, "lost as well")
    now += 2
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        log.write(Level.ERROR, "heard")
        assert server.recv(1000).endswith(b": heard")
        lost = f": send() to syslog unix:{path} failed (2: No such file or directory), 2 lines lost"
        assert server.recv(1000).decode().endswith(lost)
    files.close()


def test_the_start_is_followed_on_stderr(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    console = Console()
    log = open_logs([FileLog(tmp_path / "error.log", Level.NOTICE)], OpenFiles(), console)
    log.write(Level.WARN, "a warning")
    log.write(Level.NOTICE, "a notice")
    console.close()
    log.write(Level.EMERG, "too late")
    assert capfd.readouterr().err == "mailworker: [warn] a warning\n"


def test_on_stderr_one_sees_every_byte(capfd: pytest.CaptureFixture[str]) -> None:
    Console().write(Level.EMERG, 'unknown directive "\ufeffevents", open() "caf\udce9"')
    assert (
        capfd.readouterr().err == 'mailworker: [emerg] unknown directive "\\xEF\\xBB\\xBFevents", open() "caf\\xE9"\n'
    )


def test_what_is_on_stderr_is_not_copied_there(capfd: pytest.CaptureFixture[str]) -> None:
    log = open_logs([StderrLog(Level.NOTICE)], OpenFiles(), Console())
    log.write(Level.EMERG, "message")
    assert capfd.readouterr().err.count("message") == 1


def test_a_log_without_targets_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Log([]).write(Level.ERROR, "message")
    assert capfd.readouterr() == ("", "")


def test_json_and_nginx_s_lines_stand_side_by_side_each_with_its_level(tmp_path: Path) -> None:
    text, objects = tmp_path / "text", tmp_path / "json"
    log = open_logs([FileLog(text, Level.NOTICE), FileLog(objects, Level.INFO, json=True)], OpenFiles())
    assert (log.level, log.informative) == (Level.INFO, True)
    log.write(Level.INFO, "info", 5)
    log.write(Level.NOTICE, "notice")
    assert text.read_text().endswith(": notice\n")
    assert text.read_text().count("\n") == 1
    first, second = map(json.loads, objects.read_text().splitlines())
    assert (first["level"], first["connection"], first["message"]) == ("info", 5, "info")
    assert "connection" not in second
    log.verbose().write(Level.DEBUG, "debug")
    assert json.loads(objects.read_text().splitlines()[2])["level"] == "debug"


def test_stderr_is_not_copied_to_where_it_has_json(capfd: pytest.CaptureFixture[str]) -> None:
    log = open_logs([StderrLog(Level.NOTICE, json=True)], OpenFiles(), Console())
    log.write(Level.EMERG, "message")
    assert json.loads(capfd.readouterr().err)["message"] == "message"
