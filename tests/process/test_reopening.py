"""Logs are begun anew when another process could open them, and where the system allows no such process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mailworker.errors import StartError
from mailworker.process.cycle import Cycle
from mailworker.process.logs import Logs
from mailworker.process.reopening import Reopening
from mailworker.process.system.inherited_state import foreign_descriptors
from tests.process.test_reload import Clock
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration

# The master has no threads, but pytest's workers have one more.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def reopen(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> tuple[list[str], list[StartError | None]]:
    """What it logs, and how it ends."""
    monkeypatch.setattr(Logs, "files", dict.fromkeys(paths, -1))
    log, clock, ended = RecordedLog(), Clock(), list[StartError | None]()
    Reopening(Cycle(configuration(), (), log.log), clock.after, ended.append).run()
    clock.run()
    return log.lines, ended


def test_all_files_are_opened_even_behind_one_that_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logged, ended = reopen(monkeypatch, tmp_path / "missing" / "log", tmp_path / "log")
    assert (logged, ended) == (["[notice] reopening logs"], [None])
    assert (tmp_path / "log").read_bytes() == b""


def test_nobody_is_asked_where_there_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", None)
    assert reopen(monkeypatch) == (["[notice] reopening logs"], [None])


@pytest.mark.parametrize(
    ("call", "number", "text"),
    [("fork", errno.EAGAIN, "11: Resource temporarily unavailable"), ("pipe", errno.EMFILE, "24: Too many open files")],
)
def test_logs_are_begun_anew_though_the_system_allows_no_other_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str, number: int, text: str
) -> None:
    def fail() -> None:
        raise OSError(number, "")

    monkeypatch.setattr(os, call, fail)
    logged, ended = reopen(monkeypatch, tmp_path / "log")
    assert logged == ["[notice] reopening logs", f"[alert] {call}() failed while reopening logs ({text})"]
    assert ended == [None]


def test_logs_are_begun_anew_though_the_other_process_cannot_be_heard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """USR1 did nothing any more, until the next start; a descriptor stayed open each time."""

    def fail(_descriptor: int, _most: int) -> bytes:
        raise MemoryError

    monkeypatch.setattr(os, "read", fail)
    before = foreign_descriptors({})
    logged, ended = reopen(monkeypatch, tmp_path / "log")
    assert ended == [None]
    assert logged[1].startswith("[alert] not enough memory in ")
    assert foreign_descriptors({}) == before
    os.wait()
