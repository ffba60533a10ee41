"""Timers and descriptors that call a function."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.event.timers import Timed

# Seconds before an action is called again for which there was not enough memory.
_MEMORY_PAUSE = 1.0


class Alarm(Timed):
    """Calls `action` when its deadline has passed.

    If there is not enough memory for it, `expire_after(alarm, seconds)`, if it is not None, has it called again later.
    """

    __slots__ = ("_action", "_expire_after")

    def __init__(self, action: Callable[[], None], expire_after: Callable[[Timed, float], None] | None = None) -> None:
        super().__init__()
        self._action = action
        self._expire_after = expire_after

    def expire(self) -> None:
        """Call the action: the deadline has passed."""
        try:
            self._action()
        except MemoryError:
            if self._expire_after is not None:
                self._expire_after(self, _MEMORY_PAUSE)
            raise


class Watch:
    """Calls `action` whenever a descriptor can be read."""

    __slots__ = ("_action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action

    def ready(self, mask: int) -> None:
        """Call the action; the selector calls this."""
        self._action()
