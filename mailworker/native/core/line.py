"""`Line` of `mailworker.variables.line`, in C if the C module was built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailworker.native.core import accelerator
from mailworker.variables.line import Line, Slot

__all__ = ["Line", "Slot"]

if accelerator is not None and not TYPE_CHECKING:
    Line = accelerator.Line
