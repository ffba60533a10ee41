"""A snapshot of the counters, from which all pages and formats are made."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Final, NamedTuple

from mailworker.mail.counting import DURATION, Label, word
from mailworker.mail.limits.zones import ZoneUse
from mailworker.mail.vitals import CONNECTIONS, MEMORY, STARTED
from mailworker.shm.counters import Counters
from mailworker.status.master_state import MICROSECONDS, MasterWord, Process, Serving, posted

# The families whose sum, with these signs, is the number of sessions that have begun.
_BEGUN = (("accepted", 1), ("arrived", 1), ("moved", -1))

Families = Mapping[str, Mapping[tuple[str, ...], int]]
"""The values of each family by their labels."""


class Sessions(NamedTuple):
    """The open sessions: before the login, and after it."""

    login: int
    relay: int


class WorkerState(NamedTuple):
    """A worker: `cpu` is in seconds, None if it is unknown; `memory` is in bytes, 0 if it is unknown.

    `started` is when it began to serve, in seconds since 1970, 0 before that.
    """

    process: Process
    cpu: float | None
    started: int = 0
    connections: int = 0
    memory: int = 0


class CertificateState(NamedTuple):
    """A certificate that a server shows to clients; `begins` and `expires` are in seconds since 1970."""

    server: str
    subject: str
    serial: str
    begins: float
    expires: float


class DirectoryState(NamedTuple):
    """The certificates below a directory, by their states; `faults` is the number of files that cannot be used.

    `expires` is when the first one that is in use expires, in seconds since 1970, None if there is none.
    """

    directory: str
    certificates: Mapping[str, int]
    expires: float | None
    faults: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Times are in seconds since 1970. `sessions` are by server; `limit` is worker_connections."""

    now: float
    started: float
    reloaded: float
    reload_failed: bool
    generation: int
    stopping: bool
    workers: Sequence[WorkerState]
    families: Families
    sessions: Mapping[Label, Sessions]
    limit: int
    certificates: Sequence[CertificateState] = ()
    limits: Sequence[ZoneUse] = ()
    directories: Sequence[DirectoryState] = ()

    @property
    def ready(self) -> bool:
        """Whether clients are accepted, and no shutdown has begun."""
        return Serving(self.stopping, [each.process for each in self.workers]).ready

    @property
    def serving(self) -> int:
        """The number of workers that accept."""
        return sum(each.process.serves and not each.process.leaving for each in self.workers)

    @property
    def draining(self) -> int:
        """The number of workers that only finish their sessions."""
        return sum(each.process.leaving for each in self.workers)

    def family(self, name: str) -> Mapping[tuple[str, ...], int]:
        """The values of one family by their labels."""
        return self.families.get(name, {})

    def count(self, family: str, *labels: str) -> int:
        """One value, 0 if there is none."""
        return self.family(family).get(labels, 0)


NOTHING: Final = Snapshot(0.0, 0.0, 0.0, False, 0, False, (), {}, {}, 0)
"""A snapshot without any servers or counts."""


def take(  # noqa: PLR0913, PLR0917 - what is shown beside the counters
    counters: Counters,
    labels: Sequence[Label],
    limit: int,
    certificates: Sequence[CertificateState] = (),
    clock: Callable[[], float] = time.time,
    limits: Callable[[], Sequence[ZoneUse]] = tuple,
    directories: Callable[[], Sequence[DirectoryState]] = tuple,
) -> Snapshot:
    """Take a snapshot. `labels` are those of the servers, `limit` is worker_connections, `limits` returns the zones.

    `directories` returns those of certificates.
    """
    reading = counters.read()
    names, totals = _parsed((*reading.totals,)), reading.totals.values()
    return Snapshot(
        clock(),
        counters.master_word(MasterWord.STARTED) / MICROSECONDS,
        counters.master_word(MasterWord.RELOADED) / MICROSECONDS,
        bool(counters.master_word(MasterWord.RELOAD_FAILED)),
        counters.master_word(MasterWord.GENERATION),
        bool(counters.master_word(MasterWord.STOPPING)),
        [_worker(each, counters) for each in posted(counters) if each.works],
        _grouped(names, totals),
        _sessions(_grouped(names, reading.living.values()), labels),
        limit,
        certificates,
        limits(),
        directories(),
    )


class _Name(NamedTuple):
    """The name of a word."""

    family: str
    labels: tuple[str, ...]


@lru_cache(maxsize=2)  # the names are those of a configuration
def _parsed(words: tuple[str, ...]) -> tuple[_Name, ...]:
    """The names of counters. Texts are interned, as thousands of servers have counters with the same labels."""
    return tuple(_Name(family, tuple(labels)) for family, *labels in (map(intern, name.split("\0")) for name in words))


def _grouped(names: Iterable[_Name], values: Iterable[int]) -> Families:
    found = defaultdict[str, dict[tuple[str, ...], int]](dict)
    for (family, labels), value in zip(names, values, strict=True):
        found[family][labels] = value
    return dict(found)


def _sessions(living: Families, labels: Iterable[Label]) -> dict[Label, Sessions]:
    """The sessions that living workers have begun and not ended; those of killed workers are not included."""
    ended: Counter[tuple[str, ...]] = Counter()
    relays: Counter[tuple[str, ...]] = Counter()
    buckets = {*map(repr, DURATION), "+Inf"}
    for parts, value in living.get("ended", {}).items():
        ended[parts[:2]] += value
    for parts, value in living.get("session_seconds", {}).items():
        if parts[2] in buckets:
            relays[parts[:2]] += value
    of = {family: living.get(family, {}) for family in ("logins", *dict(_BEGUN))}
    found = {}
    for each in labels:
        begun = sum(sign * of[family].get(each, 0) for family, sign in _BEGUN)
        relay = max(of["logins"].get(each, 0) - relays[each], 0)
        found[each] = Sessions(max(begun - ended[each] - relay, 0), relay)
    return found


def _worker(process: Process, counters: Counters) -> WorkerState:
    found = (counters.word_of(process.row, word(name)) for name in (STARTED, CONNECTIONS, MEMORY))
    return WorkerState(process, _cpu(process.pid), *found)


def _cpu(pid: int) -> float | None:
    """Seconds of processor time, by the kernel's clock of the process, which every user may read."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED, as clock_getcpuclockid(3) has it
    except (OSError, OverflowError, TypeError):  # Python 3.13 raises TypeError for a number that is too large
        return None
