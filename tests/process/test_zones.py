"""What becomes of a zone, of a kind that the test makes, in the life of a real master."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process import counting
from tests.support.process import Mailworker, configuration

NAME = "workers"
ROWS = 8


class Counting(Mailworker):
    """One that has the test's kind."""

    def command(self, *arguments: str) -> list[str]:
        return [self.interpreter, "-m", "tests.process.counting", "-p", str(self.folder), *arguments]

    def counts(self, master: int) -> list[int]:
        return counting.counts(self.folder, NAME, master)

    def await_counts(self, master: int, *, gone: int, living: int) -> None:
        """Wait until workers that are gone have been counted so often, and those that run."""
        wanted = [gone, *[0] * (ROWS - living), *[1] * living]
        self.await_true(lambda: [self.counts(master)[0], *sorted(self.counts(master)[1:])] == wanted, f"{wanted}")


@pytest.fixture
def counted(folder: Path, port: int) -> Iterator[Counting]:
    mailworker = Counting(folder, configuration(port, main=f"worker_processes 2; count_workers {NAME} {ROWS};"))
    mailworker.start()
    mailworker.await_workers(2)
    yield mailworker
    mailworker.stop()


def test_a_row_has_one_writer_and_what_it_wrote_outlives_it(counted: Counting) -> None:
    counted.alerts.append("exited on signal 9")
    master = counted.pid
    counted.await_counts(master, gone=0, living=2)
    before = counted.await_workers(2)
    os.kill(before[0], signal.SIGKILL)
    counted.await_counts(master, gone=1, living=2)
    counted.signal(signal.SIGHUP)  # workers of two cycles run at once, in the same places
    counted.await_workers(2, without=before)
    counted.await_counts(master, gone=3, living=2)


def test_a_row_that_a_worker_filled_with_rubbish_spoils_no_other(counted: Counting) -> None:
    counted.alerts.append("exited on signal 9")
    master = counted.pid
    counted.await_counts(master, gone=0, living=2)
    (hostile, _) = counted.await_workers(2)
    counting.write(counted.folder, NAME, master, 0, (1 << 64) - 1)
    counting.write(counted.folder, NAME, master, 1, (1 << 64) - 1)
    os.kill(hostile, signal.SIGKILL)
    counted.await_true(lambda: 1 in counted.counts(master)[1:], "another worker")
    assert counted.counts(master)[0] == 0


def test_another_binary_goes_on_with_what_was_counted(counted: Counting) -> None:
    old = counted.pid
    counted.await_counts(old, gone=0, living=2)
    _, new = counted.upgrade()
    counted.await_counts(new, gone=2, living=2)
    os.kill(old, signal.SIGQUIT)
    assert counted.await_exit() == 0
    counted.await_counts(new, gone=2, living=2)
