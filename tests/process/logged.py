"""Installations with access logs, and what these have."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.support.process import Mailworker, is_called


def log_format(padding: int = 0) -> str:
    """The format "test", whose lines no two sessions have in common; `padding` makes them longer, by so many bytes."""
    parts = " ".join(f"'{'.' * min(4000, padding - start)}'" for start in range(0, padding, 4000))
    return f"log_format test '$pid*$connection $session_end' {parts}; log_null_sessions on;"


class Logged(Mailworker):
    """One with access logs; `wrap` is a command that executes the rest of its arguments."""

    wrap: Sequence[str] = ()

    def command(self, *arguments: str) -> list[str]:
        return [*self.wrap, *super().command(*arguments)]

    @property
    def access_log(self) -> Path:
        return self.folder / "logs" / "access.log"

    def writers(self, master: int | None = None) -> list[psutil.Process]:
        """The log writers that run."""
        children = psutil.Process(self.pid if master is None else master).children()
        return [child for child in children if is_called(child, "log writer process")]

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
