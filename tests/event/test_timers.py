from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.event.timers import Timed, Timers
from tests.support.implementations import Implementation

_DAY = 24 * 3600.0


def _allowed_overrun(delay: float) -> float:
    """Seconds by which a deadline that is `delay` seconds away may be overrun."""
    for limit, overrun in ((0.02, 0.001), (2.0, 0.01), (120.0, 0.1), (3600.0, 5.0)):
        if delay < limit:
            return overrun
    return 60.0


class Kit:
    """The timers of one implementation, and what may be set there."""

    def __init__(self, implementation: Implementation) -> None:
        self.timers: type[Timers] = implementation.timers.Timers
        self.noted, self.mover, self.restless = _kinds(implementation.timers.Timed)


@pytest.fixture(scope="session")
def kit(implementation: Implementation) -> Kit:
    return Kit(implementation)


def _kinds(base: Any) -> tuple[Any, Any, Any]:
    class Noted(base):  # type: ignore[misc]
        def __init__(self, name: str, expired: list[str]) -> None:
            super().__init__()
            self._name = name
            self._expired = expired

        def expire(self) -> None:
            self._expired.append(self._name)

    class Mover(base):  # type: ignore[misc]
        """At its first expiration it moves the other one, to `deadline` or, if that is None, nowhere."""

        def __init__(self, timers: Timers, deadline: float | None) -> None:
            super().__init__()
            self._timers = timers
            self._deadline = deadline
            self.other: Timed = self
            self.expired = 0

        def expire(self) -> None:
            self.expired += 1
            if self.expired > 1:
                return
            if self._deadline is None:
                self._timers.cancel(self.other)
            else:
                self._timers.set(self.other, self._deadline, 1.0)

    class Restless(base):  # type: ignore[misc]
        """Takes a new deadline whenever one has passed, `times` times."""

        def __init__(self, timers: Timers, deadline: float, times: int) -> None:
            super().__init__()
            self._timers = timers
            self._deadline = deadline
            self.left = times

        def expire(self) -> None:
            if self.left:
                self.left -= 1
                self._timers.set(self, self._deadline, 1.0)

    return Noted, Mover, Restless


def test_without_a_deadline_there_is_no_delay(kit: Kit) -> None:
    assert kit.timers().delay(0.0) is None


@pytest.mark.parametrize(
    "delay", [0.0, 0.001, 0.003, 0.0199, 0.02, 0.29, 1.999, 2.0, 59.93, 60.0, 119.99, 120.0, 3599.0, 3600.0, _DAY]
)
@pytest.mark.parametrize("now", [0.0, 0.1, 12345.678])
def test_a_deadline_is_overrun_by_no_more_than_a_width_and_never_early(kit: Kit, now: float, delay: float) -> None:
    expired: list[str] = []
    timers, timed = kit.timers(), kit.noted("it", expired)
    deadline = now + delay
    timers.set(timed, deadline, now)
    timers.expire(deadline - 0.0001)
    assert not expired
    timers.expire(deadline + _allowed_overrun(delay) + 0.0001)
    assert expired == ["it"]
    assert timers.delay(deadline) is None


def test_expires_once(kit: Kit) -> None:
    expired: list[str] = []
    timers = kit.timers()
    timers.set(kit.noted("it", expired), 1.0, 0.0)
    timers.expire(2.0)
    timers.expire(3.0)
    assert expired == ["it"]


def test_the_delay_is_that_to_the_first_deadline(kit: Kit) -> None:
    expired: list[str] = []
    timers, first = kit.timers(), kit.noted("first", expired)
    timers.set(kit.noted("second", expired), 50.0, 0.0)
    timers.set(first, 1.0, 0.0)
    assert timers.delay(0.25) == pytest.approx(0.75, abs=0.011)
    timers.cancel(first)
    assert timers.delay(0.25) == pytest.approx(49.75, abs=0.11)


def test_the_delay_is_never_negative(kit: Kit) -> None:
    timers = kit.timers()
    timers.set(kit.noted("it", []), 1.0, 0.0)
    assert timers.delay(5.0) == 0.0


def test_the_delay_is_one_that_a_selector_takes(kit: Kit) -> None:
    timers = kit.timers()
    timers.set(kit.noted("it", []), 400 * _DAY, 0.0)
    delay = timers.delay(0.0)
    assert delay is not None
    assert 0 < delay * 1000 < 2**31


@pytest.mark.parametrize("later", [60.0, 60.05, 75.0, 7200.0])
def test_a_deadline_moved_later_or_nowhere_stays_in_its_bucket(kit: Kit, later: float) -> None:
    timers, timed = kit.timers(), kit.noted("it", [])
    timers.set(timed, 59.93, 0.0)
    bucket = timed.bucket
    timers.set(timed, later - 0.07, 0.01)
    assert timed.bucket == bucket


def test_a_deadline_moved_later_is_met_later(kit: Kit) -> None:
    expired: list[str] = []
    timers, timed = kit.timers(), kit.noted("it", expired)
    timers.set(timed, 1.0, 0.0)
    timers.set(timed, 5.0, 0.5)
    timers.expire(4.9)
    assert not expired
    assert timers.delay(4.9) == pytest.approx(0.1, abs=0.11)
    timers.expire(5.11)
    assert expired == ["it"]


@pytest.mark.parametrize(("first", "then"), [(60.0, 1.0), (_DAY, 59.0), (1.0, 0.5), (7200.0, 7195.0)])
def test_a_deadline_moved_earlier_is_met_earlier(kit: Kit, first: float, then: float) -> None:
    expired: list[str] = []
    timers, timed = kit.timers(), kit.noted("it", expired)
    timers.set(timed, first, 0.0)
    timers.set(timed, then, 0.0)
    timers.expire(then + _allowed_overrun(then) + 0.0001)
    assert expired == ["it"]
    timers.expire(first + 100.0)
    assert expired == ["it"]


def test_a_short_wait_in_the_last_second_of_a_long_one_is_still_short(kit: Kit) -> None:
    expired: list[str] = []
    timers, timed = kit.timers(), kit.noted("it", expired)
    timers.set(timed, 7201.0, 0.0)
    timers.set(timed, 7202.0, 7200.5)
    timers.expire(7202.02)
    assert expired == ["it"]


def test_a_cancelled_deadline_is_forgotten_and_can_be_set_again(kit: Kit) -> None:
    expired: list[str] = []
    timers, timed = kit.timers(), kit.noted("it", expired)
    timers.set(timed, 1.0, 0.0)
    timers.cancel(timed)
    assert timers.delay(0.0) is None
    timers.expire(2.0)
    assert not expired
    timers.set(timed, 3.0, 2.0)
    timers.expire(3.02)
    assert expired == ["it"]


def test_cancelling_what_was_never_set_does_nothing(kit: Kit) -> None:
    timers, timed = kit.timers(), kit.noted("it", [])
    timers.cancel(timed)
    assert timers.delay(0.0) is None


@pytest.mark.parametrize("time", [nan, inf, -inf])
def test_a_time_that_is_not_finite_is_refused_and_changes_nothing(kit: Kit, time: float) -> None:
    expired: list[str] = []
    timers, timed = kit.timers(), kit.noted("it", expired)
    timers.set(timed, 1.0, 0.0)
    calls: tuple[Callable[[], object], ...] = (
        lambda: timers.set(timed, time, 0.0),
        lambda: timers.set(timed, 2.0, time),
        lambda: timers.delay(time),
        lambda: timers.expire(time),
    )
    for call in calls:
        with pytest.raises(ValueError, match="a time must be finite"):
            call()
    assert (timed.deadline, timers.delay(0.0)) == (1.0, 1.0)
    timers.expire(1.0)
    assert expired == ["it"]


@pytest.mark.parametrize("deadline", [1.7976931348623157e308, 1e300, 1e18])
def test_the_furthest_deadline_keeps_nobody_awake(kit: Kit, deadline: float) -> None:
    timers, timed = kit.timers(), kit.noted("it", [])
    timers.set(timed, deadline, 0.0)
    assert timers.delay(0.0) == _DAY
    timers.expire(1e9)
    timers.set(timed, 1e9 + 1, 1e9)
    assert timers.delay(1e9) == 1.0


@pytest.mark.parametrize("deadline", [None, 9.0], ids=["cancelled", "moved later"])
def test_a_member_of_the_bucket_that_expires_can_be_saved(kit: Kit, deadline: float | None) -> None:
    timers = kit.timers()
    one, another = kit.mover(timers, deadline), kit.mover(timers, deadline)
    one.other, another.other = another, one  # whichever comes first moves the other
    for timed in (one, another):
        timers.set(timed, 1.0, 0.0)
    timers.expire(1.02)
    assert one.expired + another.expired == 1
    assert (timers.delay(1.02) is None) == (deadline is None)


@pytest.mark.parametrize("deadline", [1.0, 0.5], ids=["set again", "moved into the past"])
def test_a_member_of_the_bucket_that_expires_can_be_set_to_expire_at_once(kit: Kit, deadline: float) -> None:
    timers = kit.timers()
    one, another = kit.mover(timers, deadline), kit.mover(timers, deadline)
    one.other, another.other = another, one
    for timed in (one, another):
        timers.set(timed, 1.0, 0.0)
    timers.expire(1.02)
    # The first sets the second, which sets the first again.
    assert sorted((one.expired, another.expired)) == [1, 2]
    assert timers.delay(1.02) is None


def test_a_deadline_taken_at_expiration_is_met_in_its_turn(kit: Kit) -> None:
    timers = kit.timers()
    restless = kit.restless(timers, 0.5, 3)
    timers.set(restless, 1.0, 0.0)
    timers.expire(1.02)
    assert restless.left == 0
    assert timers.delay(1.02) is None


def test_ten_thousand_deadlines_of_a_day_share_a_few_buckets(kit: Kit) -> None:
    timers = kit.timers()
    sessions = [kit.noted("", []) for _ in range(10_000)]
    for i, session in enumerate(sessions):
        timers.set(session, _DAY + i * 0.01, i * 0.01)
    assert len({session.bucket for session in sessions}) <= 3


_DELAYS = st.one_of(
    st.floats(0.0, 3.0), st.floats(0.0, 200.0), st.floats(0.0, 2 * _DAY), st.integers(0, 400).map(lambda n: n / 100)
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 4), _DELAYS),
        st.tuples(st.just("cancel"), st.integers(0, 4), st.just(0.0)),
        st.tuples(st.just("pass"), st.just(0), _DELAYS),
        st.tuples(st.just("wait"), st.just(0), st.just(0.0)),
    ),
    max_size=40,
)


@given(st.floats(0.0, 1e6), _STEPS)
def test_whatever_is_set_expires_in_time_and_nothing_else_does(
    kit: Kit, now: float, steps: Sequence[tuple[str, int, float]]
) -> None:
    expired: list[str] = []
    timers = kit.timers()
    all_timed = [kit.noted(str(index), expired) for index in range(5)]
    deadlines: dict[str, tuple[float, float]] = {}
    for step, index, seconds in steps:
        if step == "set":
            timers.set(all_timed[index], now + seconds, now)
            deadlines[str(index)] = (now + seconds, _allowed_overrun(seconds) + 1e-6)
            continue
        if step == "cancel":
            timers.cancel(all_timed[index])
            deadlines.pop(str(index), None)
            continue
        now += seconds if step == "pass" else timers.delay(now) or 0.0
        timers.expire(now)
        for name in expired:
            deadline, _ = deadlines.pop(name)
            assert deadline <= now
        expired.clear()
        assert all(now < deadline + overrun for deadline, overrun in deadlines.values())
        assert (timers.delay(now) is None) == (not deadlines)
