from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

import pytest

from mailworker.config.syslog import SyslogServer
from mailworker.errors import StartError
from mailworker.log.sinks import FileSink, MemorySink, StderrSink, SyslogSink
from mailworker.model import Level
from tests.support.patience import PATIENCE


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_bytes(b"old\n")
    sink = FileSink(path)
    sink.write(Level.ERROR, b"new\n")
    sink.close()
    assert path.read_bytes() == b"old\nnew\n"


def test_a_new_file_can_be_read_by_others(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        FileSink(tmp_path / "error.log").close()
    finally:
        os.umask(mask)
    assert (tmp_path / "error.log").stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "error.log"
    with pytest.raises(StartError, match=rf'^open\(\) "{path}" failed \(2: No such file or directory\)$'):
        FileSink(path)


def test_reopening_follows_the_name(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    before = {each.name for each in Path("/proc/self/fd").iterdir()}
    sink = FileSink(path)
    path.rename(tmp_path / "moved.log")
    sink.reopen(None)
    sink.write(Level.ERROR, b"new\n")
    sink.close()
    assert path.read_bytes() == b"new\n"
    assert (tmp_path / "moved.log").read_bytes() == b""
    assert {each.name for each in Path("/proc/self/fd").iterdir()} == before


def test_a_failed_reopening_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = FileSink(folder / "error.log")
    folder.rename(tmp_path / "moved")
    with pytest.raises(StartError):
        sink.reopen(None)
    sink.write(Level.ERROR, b"still here\n")
    sink.close()
    assert (tmp_path / "moved" / "error.log").read_bytes() == b"still here\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_reopening_gives_the_file_to_the_workers_user(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "error.log")
    sink.reopen(65534)
    sink.close()
    assert (tmp_path / "error.log").stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links for others")
def test_a_link_that_another_user_planted_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    sink = FileSink(tmp_path / "error.log")
    (tmp_path / "error.log").unlink()
    (tmp_path / "error.log").symlink_to(target)
    os.lchown(tmp_path / "error.log", 65534, 65534)
    with pytest.raises(StartError, match=r"failed \(40: Too many levels of symbolic links\)$"):
        sink.reopen(65534)
    sink.close()
    assert target.stat().st_uid == 0


def test_a_link_of_the_administrator_is_followed(tmp_path: Path) -> None:
    (tmp_path / "error.log").symlink_to(tmp_path / "target")
    sink = FileSink(tmp_path / "error.log")
    sink.write(Level.ERROR, b"line\n")
    sink.close()
    assert (tmp_path / "target").read_bytes() == b"line\n"


def test_a_full_disk_loses_records_only() -> None:
    sink = FileSink(Path("/dev/full"))
    for line in (b"lost\n", b"lost as well\n"):
        assert sink.write(Level.ERROR, line) == 'write() to "/dev/full" failed (28: No space left on device)'
    sink.close()
    assert sink.write(Level.ERROR, b"after its end\n") is None


def test_a_disk_that_was_full_is_tried_again_in_the_next_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    sink, spare = FileSink(Path("/dev/full")), FileSink(tmp_path / "error.log")
    assert sink.write(Level.ERROR, b"lost\n") is not None
    os.dup2(spare.descriptor, sink.descriptor)
    assert sink.write(Level.ERROR, b"lost, too\n") is not None
    now[0] += 1
    assert sink.write(Level.ERROR, b"line\n") is None
    sink.close()
    spare.close()
    assert (tmp_path / "error.log").read_bytes() == b"line\n"


def test_a_line_does_not_go_on_behind_one_that_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = FileSink(tmp_path / "error.log")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:3]))
    assert str(sink.write(Level.ERROR, b"cut off\n")).endswith("(28: No space left on device)")
    monkeypatch.undo()
    assert [sink.write(Level.ERROR, line) for line in (b"next\n", b"last\n")] == [None, None]
    sink.close()
    assert sink.path.read_bytes() == b"cut\nnext\nlast\n"


def test_a_fifo_that_nobody_empties_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "error.log")
    reader = os.open(tmp_path / "error.log", os.O_RDONLY | os.O_NONBLOCK)
    sink = FileSink(tmp_path / "error.log")
    for _ in range(100):
        sink.write(Level.ERROR, b"x" * 2047 + b"\n")
    sink.close()
    assert len(os.read(reader, 1_000_000)) % 2048 == 0
    os.close(reader)


def test_stderr_is_written_to(capfd: pytest.CaptureFixture[str]) -> None:
    StderrSink().write(Level.ERROR, b"line\n")
    assert capfd.readouterr().err == "line\n"


def test_a_pipe_that_nobody_empties_does_not_block_stderr() -> None:
    read, write = os.pipe()
    saved = os.dup(2)
    os.dup2(write, 2)
    try:
        for _ in range(100):
            failure = StderrSink().write(Level.ERROR, b"x" * 2047 + b"\n")
        assert failure == "write() to stderr failed (11: Resource temporarily unavailable)"
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(write)
    with os.fdopen(read, "rb") as stream:
        assert len(stream.read()) % 2048 == 0


def receive(server: socket.socket) -> bytes:
    server.settimeout(PATIENCE)
    return server.recv(5000)


@pytest.mark.parametrize(
    ("level", "priority"),
    [(Level.EMERG, 184), (Level.ALERT, 185), (Level.ERROR, 187), (Level.INFO, 190), (Level.DEBUG, 191)],
)
def test_syslog_gets_the_severity_of_the_level(level: Level, priority: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        sink = SyslogSink(SyslogServer(server.getsockname(), facility=23, tag="mailworker", nohostname=False))
        sink.write(level, b"the record\n")
        sink.close()
        assert re.fullmatch(
            rb"<%d>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d %s mailworker: the record"
            % (priority, re.escape(socket.gethostname().lower().encode())),
            receive(server),
        )


def test_syslog_pads_the_day_with_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 86400.0 * 3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        sink = SyslogSink(SyslogServer(server.getsockname(), facility=2, tag="t", nohostname=True))
        sink.write(Level.WARN, b"x\n")
        sink.close()
        stamp = time.strftime("%H:%M:%S", time.localtime(86400 * 3)).encode()
        day = time.localtime(86400 * 3).tm_mday
        assert receive(server) == b"<20>Jan  %d %s t: x" % (day, stamp)


def test_syslog_comes_back_with_its_server(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    sink = SyslogSink(SyslogServer(path, facility=3, tag="t", nohostname=True))
    failure = f"send() to syslog unix:{path} failed (2: No such file or directory)"
    assert sink.write(Level.ERROR, b"nobody there\n") == failure
    for text in (b"first", b"after a restart"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind(path)
            assert sink.write(Level.ERROR, text + b"\n") is None
            assert receive(server).endswith(text)
        Path(path).unlink()
    assert sink.write(Level.ERROR, b"nobody there\n") == failure
    sink.close()


def test_all_that_a_udp_server_has_missed_is_told_by_the_line_after_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        address = server.getsockname()
    sink = SyslogSink(SyslogServer(address, facility=3, tag="t", nohostname=True))
    failure = f"send() to syslog 127.0.0.1:{address[1]} failed (111: Connection refused)"
    missed = [sink.write(Level.ERROR, b"missed\n") for _ in range(5)]
    assert missed == [None, *[failure] * 4]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(address)
        assert [sink.write(Level.ERROR, b"read\n") for _ in range(2)] == [failure, None]
        assert receive(server).endswith(b"read")
        assert receive(server).endswith(b"read")
    sink.close()


def test_a_syslog_server_that_reads_nothing_does_not_block(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        sink = SyslogSink(SyslogServer(path, facility=3, tag="t", nohostname=True))
        for number in range(10_000):
            sink.write(Level.ERROR, b"record %d\n" % number)
        assert receive(server).endswith(b"record 0")
        sink.close()


def test_no_address_of_a_syslog_server_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup loads code, which the user of the log writer may not be able to read."""
    monkeypatch.delattr(socket, "getaddrinfo")
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as server:
            server.bind((host, 0))
            sink = SyslogSink(SyslogServer(server.getsockname()[:2], facility=23, tag="t", nohostname=True))
            sink.write(Level.INFO, b"x\n")
            sink.close()
            assert receive(server).endswith(b" t: x")


@pytest.mark.parametrize(
    ("lines", "ring"),
    [
        ([b"abc\n"], b"abc\n\0\0\0\0"),
        ([b"abc\n", b"def\n"], b"abc\ndef\n"),
        ([b"abc\n", b"def\n", b"g\n"], b"g\nc\ndef\n"),
        ([b"abcde\n", b"fghi\n"], b"hi\nde\nfg"),
        ([b"0123456789\n"], b"3456789\n"),
    ],
)
def test_memory_keeps_the_newest(lines: list[bytes], ring: bytes) -> None:
    sink = MemorySink(8)
    for line in lines:
        sink.write(Level.DEBUG, line)
    assert bytes(sink.ring) == ring
