"""The joint between sessions, which make lines of access logs, and the process that writes them."""

from __future__ import annotations

from typing import Protocol


class LineSink(Protocol):
    """Takes the lines of a worker's sessions."""

    def send(self, destination: int, path: bytes, line: bytes) -> None:
        """Take a line, which ends in LF, for one of the destinations of the cycle, by its index in their tuple.

        `path` is b"" but for an AccessLogPattern, where it is what `below` comes to. A line is as long as what clients
        have said makes it: most have 200 bytes, some 50,000. Never blocks and never raises: a line that cannot be
        handed over is lost, and counted.
        """
