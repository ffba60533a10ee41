"""Pipes, with nginx's error message."""

from __future__ import annotations

import os

from mailworker.errors import StartError
from mailworker.log.line import describe


def open_pipe() -> tuple[int, int]:
    """The reading end and the writing end. Raises StartError."""
    try:
        return os.pipe()
    except OSError as error:
        raise StartError(f"pipe() failed {describe(error)}") from None
