"""mailworker whose master ends the sessions that a file names, and its session table. Run as bin/mailworker is."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

from mailworker.process.kicking import Chosen
from mailworker.process.master import Master
from mailworker.shm.session_row import SessionRow
from mailworker.shm.sessions import SessionTable
from tests.support.peer import Peer
from tests.support.process import BINARY, Mailworker

_FILE = "kick"


class Kicked(Mailworker):
    """One that ends the sessions that `kick` names; its table has ROWS rows for each of WORKERS."""

    ROWS, WORKERS = 64, 2

    def command(self, *arguments: str) -> list[str]:
        return [self.interpreter, "-m", "tests.process.kicked", "-p", str(self.folder), *arguments]

    def table(self, master: int | None = None) -> list[SessionRow]:
        """All that a master and its processes know."""
        folder = Path(f"/proc/{self.pid if master is None else master}/fd")
        found: list[SessionRow] = []
        for link in sorted(folder.iterdir(), key=lambda link: int(link.name)):
            if _target(link).startswith("/memfd:sessions"):
                descriptor = os.open(link, os.O_RDWR)
                try:
                    size = os.fstat(descriptor).st_size
                    table = SessionTable("read", 1, 1, ())
                    workers = next(count for count in range(1, 99) if _size(count, self.ROWS) == size)
                    servers = [[f"server{number}", "imap"] for number in range(4)]
                    table.take_over(json.dumps([[descriptor, [workers, self.ROWS, servers]]]).encode())
                    found += table.rows()
                finally:
                    os.close(descriptor)
        return found

    def await_rows(self, count: int, master: int | None = None) -> list[SessionRow]:
        found: list[SessionRow] = []

        def there() -> bool:
            found[:] = self.table(master)
            return len(found) == count

        self.await_true(there, f"{count} sessions")
        return found

    def kick(self, rows: list[SessionRow]) -> None:
        chosen = [(row.worker, row.number, row.id) for row in rows]
        new = self.folder / f"{_FILE}.new"
        new.write_text(json.dumps(chosen))
        new.rename(self.folder / _FILE)


def is_alive(client: Peer) -> bool:
    """Whether its session goes on."""
    client.send(b"x NOOP\r\n")
    return bool(client.line())


def _target(link: Path) -> str:
    """Empty where the master has closed it meanwhile."""
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def _size(workers: int, rows: int) -> int:
    return SessionTable("size", rows, workers, ())._plan.size


def _look(master: Master, file: Path) -> None:
    if file.exists():
        chosen = json.loads(file.read_text())
        file.unlink()
        master._workforce.kicking.kick([Chosen(*each) for each in chosen], "kicked by a test")
    master._after(0.02, lambda: _look(master, file))


def _patch() -> None:
    started = Master._started

    def look_from_now_on(self: Master) -> None:
        started(self)
        _look(self, Path(sys.argv[sys.argv.index("-p") + 1]) / _FILE)

    Master._started = look_from_now_on  # type: ignore[method-assign]


if __name__ == "__main__":
    _patch()
    runpy.run_path(str(BINARY), run_name="__main__")
