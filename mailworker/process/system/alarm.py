"""A timer that calls a function."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.event.timers import Timed


class Alarm(Timed):
    """Calls `action` when its deadline has passed."""

    __slots__ = ("_action",)

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__()
        self._action = action

    def expire(self) -> None:
        """The deadline has passed."""
        self._action()
