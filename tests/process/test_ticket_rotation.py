from __future__ import annotations

from collections.abc import Callable
from typing import cast

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
    """Keeps what is to be called later."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.calls.append((seconds, action))

    def strike(self) -> float:
        """Make the call that was asked for first; returns how long it has waited."""
        seconds, action = self.calls.pop(0)
        action()
        return seconds


def follow(rotation: TicketRotation, cycle: SomeCycle) -> None:
    rotation.follow(cast(Cycle, cycle))


def test_keys_are_rotated_at_once_and_whenever_they_are_due() -> None:
    clock, cycle = Clock(), SomeCycle(300.0)
    follow(TicketRotation(clock.after), cycle)
    assert cycle.rotations == 1
    assert [clock.strike() for _ in range(3)] == [300.0] * 3
    assert cycle.rotations == 4


def test_without_keys_nothing_is_planned() -> None:
    clock = Clock()
    follow(TicketRotation(clock.after), SomeCycle(None))
    assert clock.calls == []


def test_only_the_latest_cycle_is_cared_for() -> None:
    clock, old, new = Clock(), SomeCycle(100.0), SomeCycle(200.0)
    rotation = TicketRotation(clock.after)
    follow(rotation, old)
    follow(rotation, new)
    assert (clock.strike(), clock.strike()) == (100.0, 200.0)
    assert (old.rotations, new.rotations) == (1, 2)
    assert [seconds for seconds, _ in clock.calls] == [200.0]
