"""The joint between sessions, which make lines of access logs, and the process that writes them."""

from __future__ import annotations

from typing import Protocol

from mailworker.native.core.written import Direct


class LineSink(Protocol):
    """Takes the lines of a worker's sessions.

    `direct` has for each destination what writes its lines, None where only `send` does; native/core/record.c writes by
    it unless it is held. Of a line that has not been taken whole, `delay` has to be told.
    """

    @property
    def direct(self) -> tuple[Direct | None, ...]: ...

    def delay(self, destination: int, line: bytes, taken: int, error: OSError | None) -> None:
        """So many bytes of a line have been written, and then came the error, if there was one. Raises nothing."""

    def send(self, destination: int, path: bytes, line: bytes) -> None:
        """Take a line, which ends in LF, for one of the destinations of the cycle, by its index in their tuple.

        `path` is b"" but for an AccessLogPattern, where it is what `below` comes to. A line is as long as what clients
        have said makes it: most have 200 bytes, some 50,000. Never blocks and never raises: a line that cannot be
        handed over is lost, and counted.
        """
