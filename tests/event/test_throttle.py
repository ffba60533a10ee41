"""How fast bytes may be read: by a clock that a test turns."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker.event.throttle import Throttle
from mailworker.event.timers import Timers


class Clock:
    """A loop that has nothing but deadlines."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers = Timers()
        self.cancel_deadline = self.timers.cancel

    def set_deadline(self, timed: Throttle, deadline: float) -> None:
        self.timers.set(timed, deadline, self.now)

    def pass_by(self, seconds: float, step: float = 0.001) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += step
            self.timers.expire(self.now)


class Source:
    """A side that has always more to say, or only `most` bytes."""

    def __init__(self, clock: Clock, rate: int, after: int = 0) -> None:
        self.read = self.calls = 0
        loop: Any = clock
        side: Any = SimpleNamespace(resume=self.resume)
        self.throttle = Throttle(loop, side, rate, after)

    def resume(self, allowance: int) -> None:
        while allowance:
            assert allowance > 0
            self.read += allowance
            self.calls += 1
            allowance = self.throttle.allow()


@pytest.mark.parametrize("rate", [1, 7, 100, 4096, 100_000, 10_000_000, 4_000_000_000])
@pytest.mark.parametrize("step", [0.001, 0.03, 0.1])
def test_the_rate_is_kept_however_late_its_deadlines_are(rate: int, step: float) -> None:
    clock = Clock()
    source = Source(clock, rate)
    source.resume(source.throttle.allow())
    clock.pass_by(20.0, step)
    assert source.read == pytest.approx(20 * rate, rel=0.02, abs=2)
    assert source.calls <= 20 * 20


def test_the_beginning_is_free() -> None:
    clock = Clock()
    source = Source(clock, 1000, after=50_000)
    source.resume(source.throttle.allow())
    assert source.read == 50_062
    clock.pass_by(2.0)
    assert source.read == pytest.approx(52_062, abs=70)


def test_who_has_said_nothing_may_say_a_quarter_of_a_second_s_worth_at_once() -> None:
    clock = Clock()
    source = Source(clock, 1000)
    clock.pass_by(3600.0, 1.0)
    source.resume(source.throttle.allow())
    assert source.read == 250


def test_a_loop_that_halts_for_long_gives_no_more_than_that() -> None:
    clock = Clock()
    source = Source(clock, 1000)
    source.resume(source.throttle.allow())
    clock.now += 10.0
    clock.timers.expire(clock.now)
    assert source.read == 62 + 250


def test_bytes_are_whole_and_none_is_lost() -> None:
    clock = Clock()
    chance = random.Random(1)
    source = Source(clock, 3)
    source.resume(source.throttle.allow())
    for _ in range(1000):
        clock.pass_by(chance.uniform(0.05, 0.2), 0.01)
    assert isinstance(source.read, int)
    assert source.read == pytest.approx((clock.now - 100.0) * 3, abs=2)


def test_nobody_is_called_after_the_end() -> None:
    clock = Clock()
    source = Source(clock, 1000)
    source.resume(source.throttle.allow())
    source.throttle.stop()
    clock.pass_by(5.0, 0.1)
    assert source.read == 62
