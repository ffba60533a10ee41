"""A sink of access logs that keeps its lines."""

from __future__ import annotations

import time

from mailworker.native.core.written import Direct
from tests.support.patience import PATIENCE


class Lines:
    """See `mailworker.log.access.LineSink`. `sent` are destinations, paths and lines."""

    direct: tuple[Direct | None, ...] = ()

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes, bytes]] = []

    def send(self, destination: int, path: bytes, line: bytes) -> None:
        self.sent.append((destination, path, line))

    def delay(self, destination: int, line: bytes, taken: int, error: OSError | None) -> None:
        """Fail: no line is written directly here."""
        raise AssertionError(destination, line, taken, error)

    def of(self, destination: int = 0) -> list[bytes]:
        """The lines of one destination."""
        return [line for number, _, line in self.sent if number == destination]

    def expect(self, count: int) -> list[bytes]:
        """Wait until there are exactly so many lines."""
        end = time.monotonic() + PATIENCE
        while len(self.sent) < count:
            assert time.monotonic() < end, self.sent
            time.sleep(0.002)
        lines = [line for _, _, line in self.sent]
        assert len(lines) == count, lines
        return lines
