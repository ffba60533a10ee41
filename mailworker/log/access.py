"""The interface by which sessions write lines of access logs."""

from __future__ import annotations

from typing import Protocol

from mailworker.native.core.written import Direct


class LineSink(Protocol):
    """Takes the lines of a worker's sessions.

    `direct` has an appender for each destination, None if lines must go through `send`; native/mail/facts.c writes by
    it unless it is held. A line that was not written completely must be reported to `delay`.
    """

    @property
    def direct(self) -> tuple[Direct | None, ...]: ...

    def delay(self, destination: int, line: bytes, taken: int, error: OSError | None) -> None:
        """Report that `taken` bytes of a line have been written, and the error, if any. Raises nothing."""

    def send(self, destination: int, path: bytes, line: bytes) -> None:
        """Take a line, which ends in LF, for the destination with this index in the cycle's tuple of them.

        `path` is the value of `below` of an AccessLogPattern, else b"". Most lines have 200 bytes, but a client can
        cause lines of 50,000. It never blocks, and never raises: a line that cannot be written is lost and counted.
        """
