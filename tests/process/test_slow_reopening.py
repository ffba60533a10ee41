"""What the master does while a log file that it is to begin anew takes long to open, as on a dead mount."""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import Signals
from typing import Protocol

import psutil
import pytest

from tests.process.test_slow_reload import await_kinds, kinds_opened
from tests.support.patience import PATIENCE
from tests.support.process import BINARY, GREETING, Mailworker, configuration, greeting, has_ended

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can hold files that others open")

# <linux/fanotify.h>, <fcntl.h>
_CLOEXEC, _CLASS_CONTENT, _MARK_ADD, _OPEN_PERM, _EVENT_ON_CHILD, _AT_FDCWD = 1, 4, 1, 0x10000, 0x08000000, -100

_REOPENING = r"#\d+: reopening logs$"
_HURRIED = f"""
import runpy
from mailworker.process import reading
reading.DEADLINE = 0.5
runpy.run_path({str(BINARY)!r}, run_name="__main__")
"""


class Gate:
    """Whoever opens a file of the folder waits for fanotify(7)'s permission, which comes when this is closed."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._group = libc.fanotify_init(_CLASS_CONTENT | _CLOEXEC, os.O_RDONLY)
        assert self._group >= 0, os.strerror(ctypes.get_errno())
        mask = ctypes.c_uint64(_OPEN_PERM | _EVENT_ON_CHILD)
        marked = libc.fanotify_mark(self._group, _MARK_ADD, mask, _AT_FDCWD, os.fsencode(folder))
        assert marked == 0, os.strerror(ctypes.get_errno())

    def await_visitor(self) -> None:
        """Until somebody waits."""
        assert select.select([self._group], [], [], PATIENCE)[0], "nobody opens a file"

    def close(self) -> None:
        """Let all in."""
        if self._group >= 0:
            os.close(self._group)
            self._group = -1


class Hurried(Mailworker):
    """One that waits for no file longer than half a second."""

    def command(self, *arguments: str) -> list[str]:
        return [self.interpreter, "-c", _HURRIED, "-p", str(self.folder), *arguments]


class Start(Protocol):
    """Starts one; then the log of its server is moved away, and whoever begins it anew has to wait."""

    def __call__(self, kind: type[Mailworker] = Mailworker, main: str = "") -> tuple[Mailworker, Gate]: ...


@pytest.fixture
def held(folder: Path) -> Path:
    """A folder for a server's log."""
    (folder / "held").mkdir()
    return folder / "held"


@pytest.fixture
def start(folder: Path, held: Path, port: int) -> Iterator[Start]:
    ends: list[Callable[[], None]] = []

    def start(kind: type[Mailworker] = Mailworker, main: str = "") -> tuple[Mailworker, Gate]:
        mailworker = kind(folder, configuration(port, main=main, server=f"error_log {held}/server.log info;"))
        ends.append(mailworker.stop)
        mailworker.start()
        (held / "server.log").rename(held / "moved.log")
        gate = Gate(held)
        ends.insert(0, gate.close)
        mailworker.signal(signal.SIGUSR1)
        gate.await_visitor()
        return mailworker, gate

    yield start
    for end in ends:
        end()


@pytest.fixture
def waiting(start: Start) -> tuple[Mailworker, Gate]:
    return start()


def test_a_worker_is_replaced_and_all_get_the_logs_afterwards(
    waiting: tuple[Mailworker, Gate], held: Path, port: int
) -> None:
    mailworker, gate = waiting
    mailworker.alerts.append("exited on signal 9")
    (worker,) = mailworker.await_workers(1)
    expected = kinds_opened(worker)
    os.kill(worker, signal.SIGKILL)
    (other,) = mailworker.await_workers(1, without=[worker])
    await_kinds(mailworker, other, expected)
    gate.close()
    mailworker.await_line(_REOPENING, 2)
    assert greeting(port) == GREETING
    mailworker.await_true(lambda: "connected to" in (held / "server.log").read_text(), "the worker's line")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_the_master_leaves_when_it_is_told(waiting: tuple[Mailworker, Gate], number: Signals) -> None:
    mailworker, _ = waiting
    (opener,) = (each for each in psutil.Process(mailworker.pid).children() if each not in mailworker.workers())
    mailworker.signal(number)
    assert mailworker.await_exit() == 0
    mailworker.await_true(lambda: has_ended(opener.pid), "its end")


def test_logs_that_are_moved_again_meanwhile_are_begun_anew_again(waiting: tuple[Mailworker, Gate], held: Path) -> None:
    mailworker, gate = waiting
    mailworker.signal(signal.SIGUSR1)
    mailworker.await_line("SIGUSR1", 2)
    (held / "server.log").rename(held / "moved again.log")
    gate.close()
    mailworker.await_line(_REOPENING, 4)  # the master's and the worker's, twice
    mailworker.await_true((held / "server.log").exists, "the third file")


def test_logs_stay_as_they_are_when_they_cannot_be_opened_in_time(start: Start, held: Path, port: int) -> None:
    mailworker, gate = start(Hurried)
    mailworker.await_line(rf'\[emerg\] .*: logs could not be reopened within 0.5 seconds, opening "{held}/server.log"$')
    before = (held / "moved.log").stat().st_size
    assert greeting(port) == GREETING
    gate.close()
    mailworker.await_true(lambda: (held / "moved.log").stat().st_size > before, "the worker's line")
    assert len(mailworker.lines(_REOPENING)) == 1
    mailworker.signal(signal.SIGUSR1)
    mailworker.await_line(_REOPENING, 3)


def test_a_single_process_goes_on_serving(start: Start, held: Path, port: int) -> None:
    single, gate = start(main="master_process off;")
    assert greeting(port) == GREETING
    gate.close()
    single.await_true(
        lambda: greeting(port) != b"" and "connected to" in (held / "server.log").read_text(), "a line in the new file"
    )
