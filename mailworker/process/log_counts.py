"""Counters for the lines of access logs, and for those that error logs have lost."""

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
"""The log that lines are counted under which were lost before their log was known."""

ERROR_LOG: Final = "error log"
"""The log that lines of all error logs are counted under."""


def log_words(destinations: Sequence[Destination]) -> Iterable[str]:
    """The names of the words; without access logs that of the error logs alone."""
    yield word(DROPPED, ERROR_LOG)
    if destinations:
        yield word(DROPPED, HANDING)
    for name in dict.fromkeys(map(_name, destinations)):
        yield from (word(WRITTEN, name), word(DROPPED, name))


def count_handing(counters: Counters | None, losses: Losses) -> None:
    """Count the lines of all logs that a process loses on the way to the log writer, or before it knows their log."""
    if counters is not None and counters.row is not None:
        losses.count = partial(Tally(counters.row).gain, counters.place(word(DROPPED, HANDING)))


def count_unwritten(counters: Counters | None, logs: Logs) -> None:
    """Count the lines of a process that error logs have lost."""
    if counters is not None and counters.row is not None:
        logs.count_lost(partial(Tally(counters.row).add, counters.place(word(DROPPED, ERROR_LOG))))


def count_losses(counters: Counters | None, destinations: Sequence[Destination], losses: Sequence[Losses]) -> None:
    """Count the lines that the log writer loses, for each log."""
    if counters is not None and counters.row is not None:
        tally = Tally(counters.row)
        for destination, lost in zip(destinations, losses, strict=True):
            lost.count = partial(tally.gain, counters.place(word(DROPPED, _name(destination))))


def line_counts(counters: Counters | None, destinations: Sequence[Destination]) -> list[Callable[[], None]]:
    """The functions that the log writer calls for each line, by the number of its log; the line may still be lost."""
    if counters is None or counters.row is None:
        return [_nobody] * len(destinations)
    tally = Tally(counters.row)
    return [partial(tally.add, counters.place(word(WRITTEN, _name(each)))) for each in destinations]


def _nobody() -> None:
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
