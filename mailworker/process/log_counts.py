"""Counters of the lines of access logs, and of the lines that error logs have lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from mailworker.config.destinations import AccessLogFile, AccessLogPattern, Destination
from mailworker.event.tally import Tally
from mailworker.log.losses import Losses
from mailworker.mail.counting import word
from mailworker.process.logs import Logs
from mailworker.shm.counters import Counters

WRITTEN: Final = "log_lines"
DROPPED: Final = "log_dropped"

HANDING: Final = "log writer"
"""The name that lost lines of unknown logs are counted under."""

ERROR_LOG: Final = "error log"
"""The name that lines of all error logs are counted under."""


def log_words(destinations: Sequence[Destination]) -> Iterable[str]:
    """The names of the counters; without access logs, only that of the error logs."""
    yield word(DROPPED, ERROR_LOG)
    if destinations:
        yield word(DROPPED, HANDING)
    for name in dict.fromkeys(map(_name, destinations)):
        yield from (word(WRITTEN, name), word(DROPPED, name))


def count_handing(counters: Counters | None, losses: Losses) -> None:
    """Count the lines that are lost on the way to the log writer, whose log is not known there."""
    if counters is not None and counters.row is not None:
        losses.count = partial(Tally(counters.row).gain, counters.place(word(DROPPED, HANDING)))


def count_unwritten(counters: Counters | None, logs: Logs) -> None:
    """Count the lines of this process that error logs have lost."""
    if counters is not None and counters.row is not None:
        logs.count_lost(partial(Tally(counters.row).add, counters.place(word(DROPPED, ERROR_LOG))))


def count_losses(counters: Counters | None, destinations: Sequence[Destination], losses: Sequence[Losses]) -> None:
    """Count the lines that the log writer loses, for each log."""
    if counters is not None and counters.row is not None:
        tally = Tally(counters.row)
        for destination, lost in zip(destinations, losses, strict=True):
            lost.count = partial(tally.gain, counters.place(word(DROPPED, _name(destination))))


def line_counts(counters: Counters | None, destinations: Sequence[Destination]) -> list[Callable[[], None]]:
    """The functions that the log writer calls for each line that it receives, by the number of its log."""
    if counters is None or counters.row is None:
        return [_ignore] * len(destinations)
    tally = Tally(counters.row)
    return [partial(tally.add, counters.place(word(WRITTEN, _name(each)))) for each in destinations]


def _ignore() -> None:
    """Count nothing."""


def _name(destination: Destination) -> str:
    """The name of a log: its path, with variables as written there, or its syslog server."""
    if isinstance(destination, AccessLogFile):
        return str(destination.path)
    if isinstance(destination, AccessLogPattern):
        below = (part if isinstance(part, bytes) else part.written for part in destination.below.parts)
        return f"{destination.folder}/{os.fsdecode(b''.join(below))}"
    host = destination.server
    return f"syslog:{host if isinstance(host, str) else ':'.join(map(str, host))}"
