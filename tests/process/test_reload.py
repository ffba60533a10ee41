"""A reload whose configuration cannot be read, or not in time."""

from __future__ import annotations

import errno
import heapq
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mailworker.config.load import load
from mailworker.errors import ConfigError, UnreadableError
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.process import reading
from mailworker.process.cycle import Cycle
from mailworker.process.invocation import Invocation
from mailworker.process.reload import Reload
from mailworker.shm.zones import Zones
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


def reload(invocation: Invocation = INVOCATION) -> tuple[list[str], list[Cycle | None]]:
    """What a reload logs and ends with."""
    log, ended, clock = RecordedLog(), list[Cycle | None](), Clock()
    children = set(psutil.Process().children())
    Reload(invocation, Cycle(configuration(), (), log.log), clock.after, ended.append).run()
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
    logged, ended = reload()
    assert ended == [None]
    assert logged[0] == "[notice] reconfiguring"
    assert len(logged) == 1 + len(lines)
    assert all(line.startswith(start) for line, start in zip(logged[1:], lines, strict=True))


def test_a_bug_after_the_reading_is_logged_and_the_old_cycle_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise RuntimeError("never thought of")

    monkeypatch.setattr("mailworker.process.reload.Reader", read)
    logged, ended = reload()
    assert ended == [None]
    assert logged[1].startswith("[alert] RuntimeError: never thought of in ")


def test_a_reader_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailworker.process.invocation.load", lambda *_, **__: os._exit(9))
    logged, ended = reload()
    assert ended == [None]
    assert "has ended, reading a file" in logged[1]


@pytest.mark.parametrize(
    ("call", "number", "text"),
    [("fork", errno.EAGAIN, "11: Resource temporarily unavailable"), ("pipe", errno.EMFILE, "24: Too many open files")],
)
def test_a_reader_that_cannot_be_made_is_an_error(
    monkeypatch: pytest.MonkeyPatch, call: str, number: int, text: str
) -> None:
    def fail() -> None:
        raise OSError(number, "")

    monkeypatch.setattr(os, call, fail)
    logged, ended = reload()
    assert ended == [None]
    assert logged[1:] == [f"[emerg] {call}() failed while reading the configuration ({text})"]


@pytest.mark.parametrize(("turn", "pauses"), [(0.0, 6), (60.0, 0)], ids=["slow", "quick"])
def test_certificates_that_take_long_to_load_leave_time_for_others(
    monkeypatch: pytest.MonkeyPatch, turn: float, pauses: int
) -> None:
    """Time for signals, children and the watchdog."""
    monkeypatch.setattr("mailworker.process.cycle._TURN", turn)
    settings = configuration(*[mail_server("imap")] * 6)
    old = Cycle(configuration(), (), RecordedLog().log, Zones(()))
    assert list(Cycle.follow(old, INVOCATION, settings)) == [0.0] * pauses


@pytest.fixture
def hung(tmp_path: Path) -> Invocation:
    """A configuration that waits for somebody to write to a pipe."""
    (tmp_path / "logs").mkdir()
    os.mkfifo(tmp_path / "fifo")
    path = tmp_path / "mailworker.conf"
    path.write_text("include fifo;")
    return Invocation(("mailworker",), tmp_path, path, None)


def test_what_cannot_be_read_in_time_is_refused(monkeypatch: pytest.MonkeyPatch, hung: Invocation) -> None:
    monkeypatch.setattr(reading, "DEADLINE", 0.2)
    logged, ended = reload(hung)
    assert ended == [None]
    assert logged[1:] == ["[emerg] configuration could not be read within 0.2 seconds, reading a file"]


def test_a_name_that_is_not_found_in_time_is_named(monkeypatch: pytest.MonkeyPatch, hung: Invocation) -> None:
    hung.configuration.write_text("events { } mail { auth_http auth.example:80; server { listen 127.0.0.1:1; } }")
    monkeypatch.setattr(reading, "DEADLINE", 0.2)
    monkeypatch.setattr(reading, "system_addresses", lambda host: time.sleep(60.0))
    logged, ended = reload(hung)
    assert ended == [None]
    assert logged[1:] == ['[emerg] configuration could not be read within 0.2 seconds, looking up "auth.example"']


def test_a_reload_that_is_abandoned_leaves_nobody(hung: Invocation) -> None:
    log, clock = RecordedLog(), Clock()
    children = set(psutil.Process().children())
    reloading = Reload(hung, Cycle(configuration(), (), log.log), clock.after, lambda cycle: None)
    reloading.run()
    reloading.abandon()
    clock.run()
    (reader,) = set(psutil.Process().children()) - children
    assert os.waitstatus_to_exitcode(os.waitpid(reader.pid, 0)[1]) == -signal.SIGKILL  # the master's to reap


def test_all_settings_come_over_as_they_were_read(tmp_path: Path) -> None:
    """Warnings come with them, and are logged by whoever asked."""
    path = tmp_path / "mailworker.conf"
    path.write_text(EXAMPLE)
    (tmp_path / "password").write_text("secret\n")
    invocation = Invocation(("mailworker",), tmp_path, path, None, "pid here;")
    log = RecordedLog()
    steps = reading.Reader(invocation).read(log.log)
    try:
        while True:
            time.sleep(next(steps))
    except StopIteration as end:
        settings = end.value
    assert settings == load(path, protocols=PROTOCOLS, prefix=tmp_path, globals_="pid here;", error_log=None)
    assert log.lines == [f"[{level.name.lower()}] {text}" for level, text in settings.warnings] != []


EXAMPLE = """
    error_log stderr info;
    events { worker_connections 100; debug_connection 192.0.2.1/24; }
    mail {
        auth_http localhost:80/path;
        auth_http_header X-Secret value;
        ssl_password_file password;
        ssl_session_cache shared:one:1m;
        resolver 127.0.0.1 valid=3s;
        set_real_ip_from 192.0.2.0/24;
        server { listen 127.0.0.1:10143; protocol imap; imap_capabilities A B; proxy_ssl on; }
        server { listen unix:socket; protocol smtp; proxy_protocol on; timeout 3; }
    }
"""
