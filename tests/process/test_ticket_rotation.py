from __future__ import annotations

import gc
import weakref
from typing import cast

from mailworker.event.timers import Timed
from mailworker.process.cycle import Cycle
from mailworker.process.ticket_rotation import TicketRotation


class SomeCycle:
    """Tells how often its keys were rotated."""

    def __init__(self, pause: float | None) -> None:
        self.rotations = 0
        self._pause = pause

    def rotate_ticket_keys(self) -> float | None:
        self.rotations += 1
        return self._pause


class Clock:
    """Keeps who expires after how many seconds."""

    def __init__(self) -> None:
        self.waiting: dict[Timed, float] = {}

    def expire_after(self, timed: Timed, seconds: float) -> None:
        self.waiting[timed] = seconds

    def strike(self) -> float:
        """Expire the only one that waits; returns how long it has."""
        ((timed, seconds),) = self.waiting.items()
        self.waiting.clear()
        timed.expire()
        return seconds


def follow(rotation: TicketRotation, cycle: SomeCycle) -> None:
    rotation.follow(cast(Cycle, cycle))


def test_keys_are_rotated_at_once_and_whenever_they_are_due() -> None:
    clock, cycle = Clock(), SomeCycle(300.0)
    follow(TicketRotation(clock.expire_after), cycle)
    assert cycle.rotations == 1
    assert [clock.strike() for _ in range(3)] == [300.0] * 3
    assert cycle.rotations == 4


def test_without_keys_nothing_is_planned() -> None:
    clock = Clock()
    follow(TicketRotation(clock.expire_after), SomeCycle(None))
    assert not clock.waiting


def test_only_the_latest_cycle_is_cared_for() -> None:
    clock, old, new = Clock(), SomeCycle(100.0), SomeCycle(200.0)
    rotation = TicketRotation(clock.expire_after)
    follow(rotation, old)
    follow(rotation, new)
    assert clock.strike() == 200.0
    assert (old.rotations, new.rotations) == (1, 2)


def test_a_cycle_that_was_replaced_is_not_kept_until_its_keys_would_be_due() -> None:
    clock, old = Clock(), SomeCycle(100.0)
    rotation, gone = TicketRotation(clock.expire_after), weakref.ref(old)
    follow(rotation, old)
    gc.disable()
    try:
        del old
        follow(rotation, SomeCycle(200.0))
        assert gone() is None
    finally:
        gc.enable()
