"""Reserved descriptors, for receiving others when clients use all that the process may open."""

from __future__ import annotations

import os
from contextlib import suppress

from mailworker.process.system.inherited_state import close_all

# A descriptor that is always open, so that its duplicates keep no file open.
_OPEN = 0


class Reserve:
    """Holds `size` descriptors after `fill`. Within a `with` block they are free for other use.

    A process that has no free descriptor numbers loses the descriptors of a message, as the system closes them.
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
        """Release them, also in a child that has inherited them."""
        close_all(self._held)
        self._held.clear()

    def fill(self) -> None:
        """Reserve them, or as many as the process may open."""
        with suppress(OSError):  # the next `with` block tries again
            while len(self._held) < self._size:
                self._held.append(os.dup(_OPEN))
