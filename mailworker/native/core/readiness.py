"""The events for which descriptors are watched and non-blocking steps wait; events.h has them for C."""

from __future__ import annotations

from enum import IntEnum
from selectors import EVENT_READ, EVENT_WRITE
from typing import Final


class Readiness(IntEnum):
    """An event of a descriptor, with the numbers of Python's selectors."""

    READ = EVENT_READ
    WRITE = EVENT_WRITE


READ: Final = Readiness.READ
WRITE: Final = Readiness.WRITE
