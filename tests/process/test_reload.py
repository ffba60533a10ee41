"""A reload that fails, takes long or is given up."""

from __future__ import annotations

import heapq
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mailworker.errors import ConfigError, UnreadableError
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


def reload() -> tuple[list[str], list[Cycle | None]]:
    """What a reload logs and ends with."""
    log, ended, clock = RecordedLog(), list[Cycle | None](), Clock()
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
