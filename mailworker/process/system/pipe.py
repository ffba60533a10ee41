"""Pipes of a start."""

from __future__ import annotations

import os

from mailworker.errors import StartError
from mailworker.log.line import describe


def open_pipe() -> tuple[int, int]:
    """The end to read from, and the one to write to. Raises StartError."""
    try:
        return os.pipe()
    except OSError as error:
        raise StartError(f"pipe() failed {describe(error)}") from None
