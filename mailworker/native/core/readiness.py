"""What a descriptor is watched for, and what a step that cannot go on has to wait for; events.h has it for C."""

from __future__ import annotations

from enum import IntEnum
from selectors import EVENT_READ, EVENT_WRITE
from typing import Final


class Readiness(IntEnum):
    """What a descriptor is ready for, in the numbers of selectors."""

    READ = EVENT_READ
    WRITE = EVENT_WRITE


READ: Final = Readiness.READ
WRITE: Final = Readiness.WRITE
