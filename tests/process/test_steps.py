from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from mailworker.process.steps import Pauses, UnderWay, at_once


class Counting(UnderWay[int]):
    """Comes to 3 in three steps; `ended` tells whether it was closed or has come to its end."""

    ended = False

    def leave(self) -> None:
        pass

    def _work(self) -> Generator[float, None, int]:
        try:
            yield from (1.0, 2.0, 3.0)
            return 3
        finally:
            self.ended = True

    def _fail(self, bug: Exception) -> int:
        raise AssertionError from bug


class Failing(UnderWay[str]):
    """Fails in its second step; `ended` is as above."""

    ended = False

    def leave(self) -> None:
        pass

    def _work(self) -> Generator[float, None, str]:
        try:
            yield 1.0
            raise MemoryError("for the step")
        finally:
            self.ended = True

    def _fail(self, bug: Exception) -> str:
        return f"no memory {bug}"


class Later:
    """What waits to be called, and after how many seconds."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._actions: list[Callable[[], None]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.pauses.append(seconds)
        self._actions.append(action)

    def run(self) -> None:
        while self._actions:
            self._actions.pop(0)()


def test_a_task_rests_as_long_as_each_step_asks_and_ends_once() -> None:
    later, finished = Later(), list[int]()
    Counting(later.after, finished.append).run()
    assert (later.pauses, finished) == ([1.0], [])
    later.run()
    assert (later.pauses, finished) == ([1.0, 2.0, 3.0], [3])


def test_a_task_that_is_abandoned_ends_at_once_and_comes_to_nothing() -> None:
    later, finished = Later(), list[int]()
    task = Counting(later.after, finished.append)
    task.abandon()
    task.run()
    task.abandon()
    assert task.ended
    later.run()
    assert (later.pauses, finished) == ([1.0], [])


def test_a_task_that_fails_ends_once_and_says_so() -> None:
    later, finished = Later(), list[str]()
    Failing(later.after, finished.append).run()
    later.run()
    assert finished == ["no memory for the step"]


def test_a_task_that_cannot_begin_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All later reloads waited for it."""

    def refuse(_task: Failing) -> Generator[float, None, str]:
        raise MemoryError("for the steps")

    finished = list[str]()
    monkeypatch.setattr(Failing, "_work", refuse)
    Failing(Later().after, finished.append).run()
    assert finished == ["no memory for the steps"]


def test_a_task_that_cannot_be_continued_later_ends_at_once() -> None:
    def refuse(_seconds: float, _action: Callable[[], None]) -> None:
        raise MemoryError("for the timer")

    finished = list[str]()
    task = Failing(refuse, finished.append)
    task.run()
    assert finished == ["no memory for the timer"]
    assert task.ended


def test_steps_that_need_not_wait_come_to_the_same() -> None:
    assert at_once(Counting(Later().after, lambda _: None)._work()) == 3


def test_a_pause_is_due_after_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0.0, 0.049, 0.05, 7.0, 7.049, 7.05, 8.0]  # it rests from 0.05 to 7.0
    monkeypatch.setattr("mailworker.process.steps.monotonic", iter(times).__next__)
    pauses = Pauses()
    assert [list(pauses.due()) for _ in range(4)] == [[], [0.0], [], [0.0]]
