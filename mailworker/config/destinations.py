"""The destinations of access logs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mailworker.config.syslog import SyslogServer
from mailworker.variables.template import Template


@dataclass(frozen=True, slots=True)
class AccessLogFile:
    """`access_log PATH [buffer=] [flush=] [gzip=]`; `path` is absolute and literal.

    `buffer` is in bytes, 0 for no buffer. `flush_ms` is the longest time of a line in the buffer, None without a limit.
    `gzip` is the compression level, None without compression.
    """

    path: Path
    buffer: int = 0
    flush_ms: int | None = None
    gzip: int | None = None


@dataclass(frozen=True, slots=True)
class AccessLogPattern:
    """`access_log PATH` with variables: `folder` is absolute and literal, `below` is the rest after its "/".

    Clients may choose the values of variables. So a value must not contain "/" or NUL, and the resulting path below
    `folder` must have `depth` names, none of which is empty or begins with a dot.
    """

    folder: Path
    below: Template

    @property
    def depth(self) -> int:
        """The number of names between slashes."""
        return 1 + sum(part.count(b"/") for part in self.below.parts if isinstance(part, bytes))


Destination = AccessLogFile | AccessLogPattern | SyslogServer


def literal_paths(destinations: Iterable[Destination]) -> list[Path]:
    """The paths of the files that the master opens."""
    return [destination.path for destination in destinations if isinstance(destination, AccessLogFile)]
