"""A log whose lines a test can read."""

from __future__ import annotations

import re
import threading
import time

from mailworker.log.log import Log
from mailworker.model import Level
from tests.support.patience import PATIENCE

# Time, level and process; tests are about the rest.
_LINE = re.compile(r"\S+ \S+ (\[\w+\]) \d+#\d+: (.*)\n")


class RecordedLog:
    """`log` takes lines up to `level`; `lines` are "[level] *CONNECTION MESSAGE". `name` is a listen's address."""

    level = Level.INFO

    def __init__(self, name: str = "0.0.0.0:143") -> None:
        self.name = name
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.log = Log([(self.level, self)])

    def write(self, level: Level, line: bytes) -> None:
        """Take one record; see `mailworker.log.sinks.Sink`."""
        match = _LINE.fullmatch(line.decode())
        assert match is not None, line
        with self._changed:
            self.lines.append(f"{match[1]} {match[2]}")
            self._changed.notify_all()

    def find(self, text: str, seconds: float = PATIENCE) -> str:
        """The first line that contains `text`; waits until it has come."""
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                if not self._changed.wait(end - time.monotonic()):
                    raise AssertionError(f"no {text!r} in {self.lines}")
