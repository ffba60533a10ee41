from __future__ import annotations

from collections.abc import Generator

import pytest

from mailworker.process.steps import Pauses, at_once


def test_steps_that_need_not_wait_come_to_the_same() -> None:
    def count() -> Generator[float, None, int]:
        yield from (1.0, 2.0, 3.0)
        return 3

    assert at_once(count()) == 3


@pytest.mark.parametrize(("turn", "steps"), [(0.0, [0.0]), (60.0, [])])
def test_a_pause_is_due_after_a_turn(monkeypatch: pytest.MonkeyPatch, turn: float, steps: list[float]) -> None:
    monkeypatch.setattr("mailworker.process.steps._TURN", turn)
    pauses = Pauses()
    assert [list(pauses.due()), list(pauses.due())] == [steps, steps]
