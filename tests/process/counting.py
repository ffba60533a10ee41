"""mailworker with one kind of zone more: `count_workers NAME ROWS`, in which each worker counts itself."""

from __future__ import annotations

import os
import runpy
import sys
from mmap import mmap
from pathlib import Path
from types import SimpleNamespace

from mailworker.config import load
from mailworker.config.command import TWO, Command
from mailworker.config.drafts import Context
from mailworker.config.tree import Parser
from mailworker.config.zones import SharedZone, declare_zone
from mailworker.shm.zones import KINDS
from tests.shm.counters import COUNT, Counters
from tests.support.process import BINARY


class CountedWorkers(Counters):
    """Counts whoever claims a row, in a file that tests can read."""

    __slots__ = ()

    def claim(self, row: int) -> None:
        super().claim(row)
        self.count()


def counts(folder: Path, name: str, master: int) -> list[int]:
    """What is in the zone of a master whose prefix is `folder`: its own row, then those of workers."""
    return [value for (value,) in COUNT.iter_unpack(_file(folder, name, master).read_bytes())]


def write(folder: Path, name: str, master: int, row: int, value: int) -> None:
    with _file(folder, name, master).open("r+b") as file:
        file.seek(COUNT.size * (row + 1))
        file.write(COUNT.pack(value))


def _file(folder: Path, name: str, master: int) -> Path:
    return folder / f"{name}.{master}"


def _make(zone: SharedZone) -> CountedWorkers:
    folder = Path(sys.argv[sys.argv.index("-p") + 1])
    with _file(folder, zone.name, os.getpid()).open("x+b") as file:
        file.truncate(COUNT.size * (zone.size + 1))
        return CountedWorkers(zone.name, zone.size, mmap(file.fileno(), 0))


def _declare(parser: Parser) -> None:
    _, name, rows = parser.words
    declare_zone(parser, name, int(rows), "count_workers")


if __name__ == "__main__":
    KINDS["count_workers"] = (_make,)
    row = Command("count_workers", Context.MAIN, TWO, _declare)
    load.MODULES = (*load.MODULES, SimpleNamespace(COMMANDS=(row,)))  # type: ignore[assignment, misc]
    runpy.run_path(str(BINARY), run_name="__main__")
