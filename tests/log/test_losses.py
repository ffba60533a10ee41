from __future__ import annotations

from collections.abc import Callable

import pytest

from mailworker.log.losses import PAUSE, Losses, Unwritten
from mailworker.model import Level
from tests.support.recorded_log import RecordedLog


class Clock:
    """Keeps what is arranged for."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.waiting.append((seconds, action))

    def pass_by(self) -> None:
        ((seconds, action),) = self.waiting
        assert seconds == PAUSE
        self.waiting.clear()
        action()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_loss_is_said_at_once_and_others_once_a_minute(clock: Clock, log: RecordedLog) -> None:
    losses = Losses(log.log, clock.after)
    losses.add(1, "write() failed")
    losses.add(3, "write() failed")
    losses.add(4, "open() failed")
    assert log.lines == ["[alert] write() failed, 1 line lost"]
    clock.pass_by()
    assert log.lines[1:] == ["[alert] open() failed, 7 lines lost"]
    assert losses.total == 8
    losses.add(1, "open() failed")
    clock.pass_by()
    assert log.lines[2:] == ["[alert] open() failed, 1 line lost"]


def test_nobody_is_woken_when_it_is_over(clock: Clock, log: RecordedLog) -> None:
    losses = Losses(log.log, clock.after, Level.WARN)
    losses.add(1, "send() failed")
    clock.pass_by()
    assert clock.waiting == []
    losses.add(1, "send() failed")
    assert log.lines == ["[warn] send() failed, 1 line lost"] * 2


def test_who_ends_says_the_rest(clock: Clock, log: RecordedLog) -> None:
    losses = Losses(log.log, clock.after)
    losses.report()
    losses.add(1, "x")
    losses.add(2, "x")
    losses.report()
    assert log.lines == ["[alert] x, 1 line lost", "[alert] x, 2 lines lost"]


def test_a_log_tells_of_its_own_losses_once_a_target_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    unwritten = Unwritten()
    heard: list[str] = []

    def deaf(text: str) -> bool:
        heard.append(f"unheard: {text}")
        return False

    def hears(text: str) -> bool:
        heard.append(text)
        return True

    unwritten.report(hears)
    for _ in range(3):
        unwritten.add("send() failed")
        unwritten.report(deaf)
    now += 1
    unwritten.report(hears)
    unwritten.add("send() failed")
    unwritten.report(hears)
    heard.append("a minute later")
    now += PAUSE
    unwritten.add("write() failed")
    unwritten.report(hears)
    now += PAUSE
    unwritten.report(hears)
    unwritten.add("send() failed")
    monkeypatch.setattr("os.getpid", lambda: 0)  # a child
    unwritten.report(hears)
    unwritten.add("close() failed")
    unwritten.report(hears)
    assert heard == [
        "unheard: send() failed, 1 line lost",
        "send() failed, 3 lines lost",
        "a minute later",
        "send() failed, 1 line lost",
        "write() failed, 1 line lost",
        "close() failed, 1 line lost",
    ]
