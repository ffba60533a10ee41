"""Descriptors in reserve, to receive others where clients have taken all that a process may open."""

from __future__ import annotations

import os
from contextlib import suppress

from mailworker.process.system.inherited_state import close_all

# Any descriptor that is open all the time will do: its duplicates keep nothing else open.
_OPEN = 0


class Reserve:
    """Holds `size` descriptors after `fill`, but not within a `with` block, which may use as many for itself.

    What is sent to a process comes only once: descriptors that it has no number for are closed by the system.
    """

    __slots__ = ("_held", "_size")

    def __init__(self, size: int) -> None:
        self._held: list[int] = []
        self._size = size

    def __enter__(self) -> None:
        self.close()

    def __exit__(self, *_: object) -> None:
        self.fill()

    def close(self) -> None:
        """Hold none, as in a child that has inherited them."""
        close_all(self._held)
        self._held.clear()

    def fill(self) -> None:
        """Hold them from now on, as far as the process may open so many."""
        with suppress(OSError):  # the end of the next block tries again
            while len(self._held) < self._size:
                self._held.append(os.dup(_OPEN))
