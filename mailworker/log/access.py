"""The interface between sessions, which compose access log lines, and the process that writes these lines."""

from __future__ import annotations

from typing import Protocol

from mailworker.native.core.written import Direct


class LineSink(Protocol):
    """Takes the lines of a worker's sessions.

    `direct` has an appender for each destination, None where lines must go through `send`; native/core/record.c writes
    by it unless it is held. A line that has not been taken whole must be reported to `delay`.
    """

    @property
    def direct(self) -> tuple[Direct | None, ...]: ...

    def delay(self, destination: int, line: bytes, taken: int, error: OSError | None) -> None:
        """Report that `taken` bytes of a line have been written, and the error, if any. Raises nothing."""

    def send(self, destination: int, path: bytes, line: bytes) -> None:
        """Take a line, which ends in LF, for the destination with this index in the cycle's tuple of them.

        `path` is b"" except for an AccessLogPattern, where it is the value of `below`. The length of a line depends on
        what the client has sent: most have 200 bytes, some 50,000. Never blocks and never raises: a line that cannot
        be handed over is lost, and counted.
        """
