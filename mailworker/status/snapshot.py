"""The state at one time, read from the counters: all pages and formats are made from it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mailworker.mail.counting import DURATION, Label, word
from mailworker.mail.limits.zones import ZoneUse
from mailworker.mail.vitals import CONNECTIONS, MEMORY, STARTED
from mailworker.shm.counters import Counters
from mailworker.status.standing import Posted, Said, posted

MICROSECONDS = 1_000_000

# Families that count sessions that have begun, and their signs in the sum.
_BEGUN = (("accepted", 1), ("arrived", 1), ("moved", -1))

Words = Mapping[tuple[str, ...], int]
"""Counters by the parts of their names: a family and labels."""


class Sessions(NamedTuple):
    """The open sessions: before their login, and after it."""

    login: int
    relay: int


class WorkerState(NamedTuple):
    """A worker: `cpu` is in seconds, None where the system does not tell it; `memory` is in bytes, 0 where it does not.

    `started` is when it began to serve, in seconds since 1970, 0 before that.
    """

    process: Posted
    cpu: float | None
    started: int = 0
    connections: int = 0
    memory: int = 0


class CertificateState(NamedTuple):
    """A certificate that a server shows to clients; `expires` is in seconds since 1970."""

    server: str
    subject: str
    serial: str
    expires: float


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
    words: Words
    sessions: Mapping[Label, Sessions]
    limit: int
    certificates: Sequence[CertificateState] = ()
    limits: Sequence[ZoneUse] = ()

    @property
    def ready(self) -> bool:
        """Whether clients are accepted, and will be for a while."""
        return not self.stopping and any(each.process.serves and not each.process.leaving for each in self.workers)

    @property
    def serving(self) -> int:
        """The number of workers that accept."""
        return sum(each.process.serves and not each.process.leaving for each in self.workers)

    @property
    def draining(self) -> int:
        """The number of workers that finish their sessions."""
        return sum(each.process.leaving for each in self.workers)

    def family(self, name: str) -> Iterator[tuple[tuple[str, ...], int]]:
        """The labels and values of one family."""
        return ((parts[1:], value) for parts, value in self.words.items() if parts[0] == name)


def take(  # noqa: PLR0913, PLR0917 - what is shown beside the counters
    counters: Counters,
    labels: Sequence[Label],
    limit: int,
    certificates: Sequence[CertificateState] = (),
    clock: Callable[[], float] = time.time,
    limits: Callable[[], Sequence[ZoneUse]] = tuple,
) -> Snapshot:
    """Take a snapshot. `labels` are those of the servers, `limit` is worker_connections, `limits` returns the zones."""
    reading = counters.read()
    living = Counter({tuple(name.split("\0")): value for name, value in reading.living.items()})
    return Snapshot(
        clock(),
        counters.said(Said.STARTED) / MICROSECONDS,
        counters.said(Said.RELOADED) / MICROSECONDS,
        bool(counters.said(Said.RELOAD_FAILED)),
        counters.said(Said.GENERATION),
        bool(counters.said(Said.STOPPING)),
        [_worker(each, counters) for each in posted(counters) if each.works],
        {tuple(name.split("\0")): value for name, value in reading.totals.items()},
        _sessions(living, labels),
        limit,
        certificates,
        limits(),
    )


def _sessions(living: Counter[tuple[str, ...]], labels: Iterable[Label]) -> dict[Label, Sessions]:
    """The sessions that living workers have begun and not ended: a killed worker has left none."""
    ended: Counter[Label] = Counter()
    relays: Counter[Label] = Counter()
    buckets = {*map(repr, DURATION), "+Inf"}
    for (family, *parts), value in living.items():
        if family == "ended":
            ended[Label(*parts[:2])] += value
        elif family == "session_seconds" and parts[2] in buckets:
            relays[Label(*parts[:2])] += value
    found = {}
    for each in labels:
        server, protocol = each
        begun = sum(sign * living[family, server, protocol] for family, sign in _BEGUN)
        relay = max(living["logins", server, protocol] - relays[each], 0)
        found[each] = Sessions(max(begun - ended[each] - relay, 0), relay)
    return found


def _worker(process: Posted, counters: Counters) -> WorkerState:
    found = (counters.word_of(process.row, word(name)) for name in (STARTED, CONNECTIONS, MEMORY))
    return WorkerState(process, _cpu(process.pid), *found)


def _cpu(pid: int) -> float | None:
    """Seconds of processor time. The kernel has a clock for each process, which every user may read."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED, as clock_getcpuclockid(3) has it
    except (OSError, OverflowError):
        return None
