"""CPU time and memory of all processes of a server, from /proc."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.support.daemon import wait_until

PROC = Path("/proc")


class Tree:
    """A master and its workers."""

    def __init__(self, master: int, workers: int) -> None:
        self._master = psutil.Process(master)
        wait_until(lambda: len(self._master.children()) >= workers, "start of all workers")

    @property
    def workers(self) -> list[int]:
        return [child.pid for child in self._master.children()]

    @property
    def pids(self) -> list[int]:
        return [self._master.pid, *self.workers]

    def cpu(self) -> int:
        """Nanoseconds of CPU of all processes so far."""
        return sum(map(_cpu, self.pids))

    def cpu_of_master(self) -> int:
        """Nanoseconds of CPU of the master alone."""
        return _cpu(self._master.pid)

    def cpu_of_workers(self) -> list[int]:
        """Nanoseconds of CPU of each worker."""
        return list(map(_cpu, self.workers))

    def pss(self) -> int:
        """Bytes of memory; shared memory is counted once."""
        return sum(map(pss, self.pids))


def pss(pid: int) -> int:
    """Bytes of one process's memory, with its part of shared memory."""
    return _field(PROC / str(pid) / "smaps_rollup", "Pss") * 1024


def slab() -> int:
    """Kilobytes of the kernel's slab, which holds objects such as sockets, for all processes together."""
    return _field(PROC / "meminfo", "Slab")


def _cpu(pid: int) -> int:
    return int((PROC / str(pid) / "schedstat").read_text().split()[0])


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(f"{path} has no {name}")
