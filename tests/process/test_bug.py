from __future__ import annotations

import sys
from unittest.mock import Mock

import pytest

from mailworker.process.bug import describe_bug, log_bug, log_unraisable


def innermost(bug: Exception) -> None:
    raise bug


@pytest.mark.parametrize(
    ("raised", "start"),
    [
        (ValueError("what was wrong"), "ValueError: what was wrong in "),
        (MemoryError(), "not enough memory in "),  # which is no bug
    ],
)
def test_a_bug_is_described_from_the_inside_out(raised: Exception, start: str) -> None:
    try:
        innermost(raised)
    except Exception as bug:
        text = describe_bug(bug)
    assert text.startswith(f"{start}test_bug.py:")
    places = [place.split() for place in text.removeprefix(start).split(" < ")]
    assert [place[1] for place in places] == ["innermost()", "test_a_bug_is_described_from_the_inside_out()"]


class Unlucky:
    def __del__(self) -> None:
        raise ValueError("in a destructor")


def test_what_nobody_can_catch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    told: list[BaseException] = []
    log_unraisable(told.append)
    Unlucky()
    assert [str(bug) for bug in told] == ["in a destructor"]


def test_without_memory_for_the_line_nothing_is_raised() -> None:
    """It ended the worker with all of its sessions, where one had met with the lack of memory."""
    log = Mock()
    log.write.side_effect = MemoryError
    log_bug(log, MemoryError())
    log.write.assert_called_once()
