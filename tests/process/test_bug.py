from __future__ import annotations

import sys
from unittest.mock import Mock

import pytest

from mailworker.model import Level
from mailworker.process.bug import describe_bug, log_bug, log_unraisable, survive
from tests.support.recorded_log import RecordedLog


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


@pytest.mark.parametrize(("message", "text"), [("Error in a hook", "Error in a hook"), (None, "no details")])
def test_what_comes_without_an_exception_is_told(
    monkeypatch: pytest.MonkeyPatch, message: str | None, text: str
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    told: list[BaseException] = []
    log_unraisable(told.append)
    sys.unraisablehook(Mock(exc_value=None, err_msg=message))
    assert [str(bug) for bug in told] == [text]


def test_what_survives_a_bug_has_logged_it() -> None:
    recorded = RecordedLog()
    survive(lambda: innermost(ValueError("of one")), recorded.log)
    survive(lambda: recorded.log.write(Level.NOTICE, "done"), recorded.log)
    (line, done) = recorded.lines
    assert line.startswith("[alert] ValueError: of one in test_bug.py:")
    assert done == "[notice] done"


def test_without_memory_for_the_line_nothing_is_raised() -> None:
    """It ended the worker with all of its sessions, where one had met with the lack of memory."""
    log = Mock()
    log.write.side_effect = MemoryError
    log_bug(log, MemoryError())
    log.write.assert_called_once()
