"""The demo's proxy without a process: what it makes of its pid file and of its end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mailworker.demo.proxy import Proxy

PID = 4711


class Reactor(Clock):
    """Time that a test moves, and a process that it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.pid = PID
        self.command: list[str] = []
        self.signals: list[str] = []
        self.has_ended = False

    def spawnProcess(self, protocol: Proxy, executable: str, command: list[str], **_: Any) -> Reactor:
        self.command = command
        return self

    def signalProcess(self, name: str) -> None:
        if self.has_ended:
            raise ProcessExitedAlready
        self.signals.append(name)


class Demo:
    """What a proxy calls back."""

    def __init__(self, folder: Path) -> None:
        self.pid_file = folder / "pid"
        self.reactor = Reactor()
        self.serving = 0
        self.statuses: list[int] = []
        self.proxy = Proxy(self.reactor, self.pid_file, self._serve, self.statuses.append)
        clock: Any = self.reactor
        self.proxy._pid_file_poll.clock = clock
        self.proxy.start(Path("launcher"), folder)

    def _serve(self) -> None:
        self.serving += 1

    def end(self, reason: Exception) -> None:
        self.reactor.has_ended = True
        self.proxy.processEnded(Failure(reason))


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)


def test_it_runs_in_the_foreground_below_the_prefix(demo: Demo, tmp_path: Path) -> None:
    assert demo.reactor.command == [sys.executable, "launcher", "-p", f"{tmp_path}/", "-g", "daemon off;"]


def test_it_serves_when_the_pid_file_is_its_own(demo: Demo) -> None:
    demo.pid_file.write_text("1\n")  # an earlier one's
    demo.reactor.advance(1)
    assert demo.serving == 0
    demo.pid_file.write_text(f"{PID}\n")
    demo.reactor.pump([1] * 3)
    assert demo.serving == 1


@pytest.mark.parametrize(
    ("reason", "status"),
    [(ProcessDone(0), 0), (ProcessTerminated(exitCode=1), 1), (ProcessTerminated(signal=9), -9)],
)
def test_its_end_is_told_with_its_status(demo: Demo, reason: Exception, status: int) -> None:
    demo.end(reason)
    assert demo.statuses == [status]
    assert demo.reactor.getDelayedCalls() == []


def test_a_stop_waits_for_its_end_and_kills_it_in_the_end(demo: Demo) -> None:
    stopped: Deferred[None] = demo.proxy.stop()
    demo.reactor.advance(9)
    assert (demo.reactor.signals, stopped.called) == (["TERM"], False)
    demo.reactor.advance(1)
    assert demo.reactor.signals == ["TERM", "KILL"]
    demo.end(ProcessTerminated(signal=9))
    assert stopped.called


def test_one_that_has_ended_is_stopped_at_once(demo: Demo) -> None:
    demo.end(ProcessDone(0))
    assert demo.proxy.stop().called
    assert demo.reactor.signals == []
