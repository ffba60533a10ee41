"""os.write, in C at a third of its instructions where that was built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mailworker.native.core import accelerator

__all__ = ["written"]


def written(descriptor: int, data: bytes, /) -> int:
    """How many bytes of `data` one call of the system has taken. Raises OSError."""
    return os.write(descriptor, data)


if accelerator is not None and not TYPE_CHECKING:
    written = accelerator.written
