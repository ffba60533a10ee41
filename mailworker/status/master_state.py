"""The state of the master and its processes, which the master writes for the status process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from time import time
from typing import Any, Final, NamedTuple

from mailworker.mail.counting import reloads
from mailworker.shm.counters import Counters

MICROSECONDS: Final = 1_000_000
_PID_BITS, _NUMBER_BITS = 32, 16
_WORKS, _LEAVING = 1 << 48, 1 << 49


class MasterWord(IntEnum):
    """Words of the master in the counters; times are in microseconds since 1970."""

    STOPPING = 0
    STARTED = 1
    RELOADED = 2
    RELOAD_FAILED = 3
    GENERATION = 4


class Process(NamedTuple):
    """A child of the master. `number` counts the workers of a cycle; `works`: it is a worker.

    `serves` is reported by the process itself, not by the master.
    """

    pid: int
    row: int
    number: int
    works: bool
    leaving: bool
    serves: bool = False


class Serving(NamedTuple):
    """The state for probes: whether the master is stopping, and its workers."""

    stopping: bool
    workers: Sequence[Process]

    @property
    def alive(self) -> bool:
        """Whether a worker serves, even if it only finishes its sessions."""
        return any(each.serves for each in self.workers)

    @property
    def ready(self) -> bool:
        """Whether clients are accepted, and no shutdown has begun."""
        return not self.stopping and any(each.serves and not each.leaving for each in self.workers)


class MasterState:
    """The master's state: `generation` counts cycles from 1; `failure` is the last reload's error, None for none."""

    __slots__ = ("_generation", "_reloaded", "_started", "failure")

    def __init__(self) -> None:
        self._started = self._reloaded = _now()
        self._generation = 1
        self.failure: str | None = None

    def reload(self, counters: Counters | None, failure: str | None) -> None:
        """Note the end of a reload; `failure` None is success. `counters` are those of the serving cycle."""
        succeeded = failure is None
        self.failure = failure
        self._reloaded = _now()
        self._generation += succeeded
        if counters is not None:
            counters.add(reloads(succeeded))

    @property
    def last_reload(self) -> dict[str, Any]:
        """The time and the result of the last reload; before the first one, of the start."""
        return {
            "time": self._reloaded / MICROSECONDS,
            "started": self._started / MICROSECONDS,
            "generation": self._generation,
            "error": self.failure,
        }

    def publish(self, counters: Counters, processes: Iterable[Process], *, stopping: bool) -> None:
        """Write the state to the counters."""
        for word, value in (
            (MasterWord.STOPPING, stopping),
            (MasterWord.STARTED, self._started),
            (MasterWord.RELOADED, self._reloaded),
            (MasterWord.RELOAD_FAILED, self.failure is not None),
            (MasterWord.GENERATION, self._generation),
        ):
            counters.set_master_word(word, int(value))
        counters.post({process.row: _entry(process) for process in processes})


def posted(counters: Counters) -> list[Process]:
    """The processes that the master has posted."""
    found = []
    for row, (entry, serves) in counters.posted().items():
        pid, number = entry & ((1 << _PID_BITS) - 1), entry >> _PID_BITS & ((1 << _NUMBER_BITS) - 1)
        found.append(Process(pid, row, number, bool(entry & _WORKS), bool(entry & _LEAVING), serves))
    return found


def serving(counters: Counters) -> Serving:
    """The state for probes. It is read without the counters of servers, which takes long for many of them."""
    return Serving(bool(counters.master_word(MasterWord.STOPPING)), [each for each in posted(counters) if each.works])


def _entry(process: Process) -> int:
    number = process.number & ((1 << _NUMBER_BITS) - 1)
    return process.pid | number << _PID_BITS | _WORKS * process.works | _LEAVING * process.leaving


def _now() -> int:
    return int(time() * MICROSECONDS)
