from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailworker.config.destinations import AccessLogFile
from mailworker.config.logs import FileLog
from mailworker.model import Level
from mailworker.process.logs import Logs


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    """Those of an error log, an access log, and one that is both."""
    targets = tuple(FileLog(tmp_path / name, Level.NOTICE) for name in ("error", "both"))
    logs = Logs([targets, targets], [AccessLogFile(tmp_path / name) for name in ("access", "both")])
    logs.open(None)
    return logs


def names(files: object) -> set[str]:
    assert isinstance(files, dict)
    return {path.name for path in files}


def test_those_who_write_no_access_log_give_its_files_back(logs: Logs) -> None:
    assert names(logs.files) == {"error", "both", "access"}
    assert names(logs.error_log_files) == {"error", "both"}
    access = next(number for path, number in logs.files.items() if path.name == "access")
    logs.close_all_but(logs.error_log_files)
    assert names(logs.files) == {"error", "both"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(access)
    logs.close()


def test_a_file_that_is_both_is_open_once(logs: Logs) -> None:
    assert len(logs.descriptors) == 3
    logs.close()
    assert (logs.descriptors, dict(logs.files)) == ([], {})


def test_files_that_are_closed_are_written_again_when_they_are_adopted(logs: Logs, tmp_path: Path) -> None:
    present = {path: os.dup(number) for path, number in logs.files.items()}
    logs.close()
    logs.adopt(present)
    logs._log.write(Level.NOTICE, "again")
    assert (tmp_path / "error").read_bytes().endswith(b": again\n")
    assert names(logs.files) == {"error", "both", "access"}
    logs.close()


def test_what_waits_to_be_written_goes_to_the_file_before_it_is_begun_anew(logs: Logs, tmp_path: Path) -> None:
    steps: list[str] = []

    class Destinations:
        def end_files(self) -> None:
            steps.append("end")
            (tmp_path / "access").write_bytes(b"line\n")

        def close(self) -> None:
            steps.append("close")

    logs._writing = Destinations()  # type: ignore[assignment]
    (tmp_path / "access").rename(tmp_path / "moved")
    logs.reopen()
    assert steps == ["end"]
    logs.close()
    assert steps == ["end", "close"]
