"""A reload that fails, takes long or is given up."""

from __future__ import annotations

import errno
import heapq
import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from mailworker.config.listen import Listen
from mailworker.config.logs import FileLog
from mailworker.config.settings import MailServer, Settings
from mailworker.errors import ConfigError, UnreadableError
from mailworker.log.log import Log
from mailworker.model import InetAddress, Level
from mailworker.process.cycle import Cycle
from mailworker.process.invocation import Invocation
from mailworker.process.reload import Reload
from mailworker.process.system import pid_file
from mailworker.process.system.inherited_state import foreign_descriptors
from mailworker.shm.zones import Zones
from tests.support.process import refuses
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration, mail_server

# The master has no threads, but pytest's workers have one more.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

INVOCATION = Invocation(("mailworker",), Path("/prefix"), Path("/prefix/conf/mailworker.conf"), None)


class Clock:
    """What a process has for `after`, alone."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self.calls = 0

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.calls += 1
        heapq.heappush(self._due, (time.monotonic() + seconds, self.calls, action))

    def run(self) -> None:
        while self._due:
            due, _, action = heapq.heappop(self._due)
            time.sleep(max(0.0, due - time.monotonic()))
            action()


def reload() -> tuple[list[str], list[Cycle | str]]:
    """What a reload logs and ends with."""
    log, ended, clock = RecordedLog(), list[Cycle | str](), Clock()
    children = set(psutil.Process().children())
    Reload(INVOCATION, Cycle(configuration(), (), log.log), clock.after, ended.append).run()
    clock.run()
    assert set(psutil.Process().children()) <= children  # nobody is left, not even as a zombie
    return log.lines, ended


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (ConfigError("no luck", "FILE:7"), [r"[emerg] no luck in FILE:7"]),
        (UnreadableError("no file"), [r"[crit] no file"]),
        (
            RuntimeError("never thought of"),
            ["[alert] RuntimeError: never thought of in ", "[emerg] process "],
        ),
    ],
)
def test_whatever_fails_is_logged_and_the_old_cycle_stays(
    monkeypatch: pytest.MonkeyPatch, error: Exception, lines: list[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("mailworker.process.invocation.load", fail)
    logged, (failure,) = reload()
    assert logged[0] == "[notice] reconfiguring"
    assert logged[-1].endswith(f"] {failure}")
    assert len(logged) == 1 + len(lines)
    assert all(line.startswith(start) for line, start in zip(logged[1:], lines, strict=True))


def test_a_bug_after_the_reading_is_logged_and_the_old_cycle_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise RuntimeError("never thought of")

    monkeypatch.setattr("mailworker.process.reload.Reader", read)
    logged, ended = reload()
    assert ended == ["a bug, see the error log"]
    assert logged[1].startswith("[alert] RuntimeError: never thought of in ")


@pytest.mark.parametrize(("turn", "pauses"), [(0.0, 6), (60.0, 0)], ids=["slow", "quick"])
def test_certificates_that_take_long_to_load_leave_time_for_others(
    monkeypatch: pytest.MonkeyPatch, turn: float, pauses: int
) -> None:
    """Time for signals, children and the watchdog."""
    monkeypatch.setattr("mailworker.process.steps._TURN", turn)
    settings = configuration(*[mail_server("imap")] * 6)
    old = Cycle(configuration(), (), RecordedLog().log, Zones(()))
    assert list(Cycle.follow(old, INVOCATION, settings)) == [0.0] * pauses


def test_a_reload_that_is_abandoned_leaves_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # nobody will write to it
    hung = Invocation(("mailworker",), tmp_path, tmp_path / "fifo", None)
    log, clock = RecordedLog(), Clock()
    children = set(psutil.Process().children())
    reloading = Reload(hung, Cycle(configuration(), (), log.log), clock.after, lambda cycle: None)
    reloading.run()
    reloading.abandon()
    clock.run()
    (reader,) = set(psutil.Process().children()) - children
    assert os.waitstatus_to_exitcode(os.waitpid(reader.pid, 0)[1]) == -signal.SIGKILL  # the master's to reap


def listening() -> tuple[MailServer, InetAddress]:
    """A server on a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = InetAddress(*probe.getsockname())
    return mail_server("imap", listens=(Listen(address),)), address


def building(monkeypatch: pytest.MonkeyPatch, settings: Settings, old: Cycle) -> tuple[Reload, list[Cycle | str]]:
    """A reload to settings that have been read."""

    def read(_log: Log) -> Generator[float, None, Settings]:
        yield from ()
        return settings

    monkeypatch.setattr("mailworker.process.reload.Reader", Mock(return_value=Mock(read=read)))
    ended = list[Cycle | str]()
    return Reload(INVOCATION, old, lambda seconds, action: action(), ended.append), ended


def test_a_reload_that_fails_late_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its listeners and logs stayed open in the master, and in all that it forked."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "")

    server, address = listening()
    log = RecordedLog()
    monkeypatch.setattr("mailworker.event.loop.new_poller", refuse)
    before = foreign_descriptors({})
    reloading, ended = building(monkeypatch, configuration(server), Cycle(configuration(), (), log.log, Zones(())))
    reloading.run()
    assert ended == ["epoll_create() failed (24: Too many open files)"]
    assert log.lines[1:] == ["[emerg] epoll_create() failed (24: Too many open files)"]
    assert foreign_descriptors({}) == before
    assert refuses(address.port)


@pytest.mark.parametrize("name", ["old", "new"])
def test_the_pid_file_is_where_the_new_configuration_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    settings, error_log = configuration(), FileLog(tmp_path / "error.log", Level.ALERT)
    old, new = (
        replace(settings, core=replace(settings.core, pid=tmp_path / each, error_log=(error_log,)))
        for each in ("old", name)
    )
    pid_file.write(old.core.pid)
    reloading, ended = building(monkeypatch, new, Cycle(old, (), RecordedLog().log, Zones(())))
    reloading.run()
    (cycle,) = ended
    assert isinstance(cycle, Cycle)
    cycle.close()
    assert {path.name for path in tmp_path.iterdir()} == {name, "error.log"}
    assert pid_file.read(new.core.pid) == os.getpid()


def test_a_pid_file_that_cannot_be_deleted_stays_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reload was refused, as in a folder that had become read-only, and left the new file behind."""
    error_log, unlink = FileLog(tmp_path / "error.log", Level.ALERT), Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == tmp_path / "old":
            raise OSError(errno.EROFS, "")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    settings = configuration()
    old, new = (
        replace(settings, core=replace(settings.core, pid=tmp_path / name, error_log=(error_log,)))
        for name in ("old", "new")
    )
    pid_file.write(old.core.pid)
    reloading, ended = building(monkeypatch, new, Cycle(old, (), RecordedLog().log, Zones(())))
    reloading.run()
    (cycle,) = ended
    assert isinstance(cycle, Cycle)
    cycle.close()
    logged = f': unlink() "{tmp_path / "old"}" failed (30: Read-only file system)\n'
    assert error_log.path.read_text().endswith(logged)
    assert pid_file.read(tmp_path / "new") == os.getpid()
