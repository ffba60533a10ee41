"""Timers and descriptors that call a function."""

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
        """Call the action: the deadline has passed."""
        self._action()


class Watch:
    """Calls `action` whenever a descriptor can be read."""

    __slots__ = ("_action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action

    def ready(self, mask: int) -> None:
        """Call the action; the selector calls this."""
        self._action()
