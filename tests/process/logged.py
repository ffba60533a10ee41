"""mailworker whose sessions write a line each into every access log. Run as bin/mailworker is."""

from __future__ import annotations

import gzip
import os
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from mailworker.config.destinations import AccessLogPattern
from mailworker.mail.record import EndListener, SessionRecord
from mailworker.mail.service import MailService
from tests.support.process import BINARY, Mailworker

_START = MailService.start
# Makes lines as long as those of clients that say much.
_PADDING = b"." * int(os.environ.get("MAILWORKER_PADDING", "0"))


def start(
    self: MailService, loop: Any, number: int, workers: int, listeners: Sequence[EndListener] = (), lines: Any = None
) -> None:
    def write(record: SessionRecord) -> None:
        for index, destination in enumerate(self._settings.destinations):
            assert record.reason is not None
            path = record.login.split(b"@")[0] + b".log" if isinstance(destination, AccessLogPattern) else b""
            line = b"%d*%d %b%b\n" % (os.getpid(), record.number, record.reason.name.encode(), _PADDING)
            lines.send(index, path, line)

    _START(self, loop, number, workers, listeners if lines is None else (write, *listeners))


class Logged(Mailworker):
    """One with access logs; `wrap` is a command that executes the rest of its arguments."""

    wrap: Sequence[str] = ()

    def command(self, *arguments: str) -> list[str]:
        return [*self.wrap, self.interpreter, "-m", "tests.process.logged", "-p", str(self.folder), *arguments]

    @property
    def access_log(self) -> Path:
        return self.folder / "logs" / "access.log"

    def writers(self, master: int | None = None) -> list[psutil.Process]:
        """The log writers that run."""
        found = []
        for child in psutil.Process(self.pid if master is None else master).children():
            try:
                if " ".join(child.cmdline()).startswith("mailworker: log writer process"):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def await_writer(self, without: int = 0) -> psutil.Process:
        """The log writer, when there is one that is not the process `without`."""
        self.await_true(lambda: any(each.pid != without for each in self.writers()), "a log writer")
        return next(each for each in self.writers() if each.pid != without)

    def await_lines(self, count: int, *paths: Path) -> list[str]:
        """What all of `paths`, else the access log, have, when there are so many lines."""
        found: list[str] = []

        def enough() -> bool:
            found[:] = [line for path in paths or (self.access_log,) for line in read(path)]
            return len(found) >= count

        self.await_true(enough, f"{count} lines of the access log")
        return found


def read(path: Path) -> list[str]:
    if not path.exists():
        return []
    return (gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()).decode().splitlines()


if __name__ == "__main__":
    MailService.start = start  # type: ignore[method-assign]
    runpy.run_path(str(BINARY), run_name="__main__")
