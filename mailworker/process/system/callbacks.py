"""Timers and descriptors that call a function."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.event.timers import Timed


class Alarm(Timed):
    """Calls `action` when its deadline has passed.

    If there is not enough memory for it, `postpone`, if it is not None, sets another deadline.
    """

    __slots__ = ("_action", "_postpone")

    def __init__(self, action: Callable[[], None], postpone: Callable[[Alarm], None] | None = None) -> None:
        super().__init__()
        self._action = action
        self._postpone = postpone

    def expire(self) -> None:
        """Call the action: the deadline has passed."""
        try:
            self._action()
        except MemoryError:
            if self._postpone is not None:
                self._postpone(self)
            raise


class Watch:
    """Calls `action` whenever a descriptor can be read."""

    __slots__ = ("_action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action

    def ready(self, mask: int) -> None:
        """Call the action; the selector calls this."""
        self._action()
