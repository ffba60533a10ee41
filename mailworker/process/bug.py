"""Unexpected exceptions in the log."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from mailworker.log.log import Log
from mailworker.model import Level


def describe_bug(bug: BaseException) -> str:
    """An unexpected exception in one line, the innermost frame first, as long log records are cut at their end."""
    frames = reversed(traceback.extract_tb(bug.__traceback__))
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}()" for frame in frames]
    what = "not enough memory" if isinstance(bug, MemoryError) else f"{type(bug).__name__}: {bug}"
    return f"{what} in {' < '.join(places)}"


def log_bug(log: Log, bug: BaseException) -> None:
    """Log an unexpected exception; if there is not enough memory for that, do nothing, so that other sessions go on."""
    try:
        log.write(Level.ALERT, describe_bug(bug))
    except MemoryError:
        return


def survive(action: Callable[[], None], log: Log) -> None:
    """Log an unexpected exception of `action`, and go on."""
    try:
        action()
    except Exception as bug:
        log_bug(log, bug)


def log_unraisable(on_bug: Callable[[BaseException], None]) -> None:
    """Have `on_bug` called with exceptions that no caller can catch, as in OpenSSL's callbacks and in destructors."""

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        on_bug(unraisable.exc_value or RuntimeError(unraisable.err_msg or "no details"))

    sys.unraisablehook = report
