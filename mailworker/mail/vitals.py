"""A worker's own figures while it has clients: the lag of its loop, its memory and connections, its TLS caches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from time import time
from typing import Final, Protocol

from mailworker.config.ssl import SslSettings
from mailworker.event.connections import Connections
from mailworker.event.tally import Tally
from mailworker.mail.counting import Alarm, Served, histogram, word, words
from mailworker.native.tls.context import CacheLookups, Context
from mailworker.shm.counters import Counters
from mailworker.tls.context import TlsContext

LAG: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds of the histogram's buckets for the lag of the loop, in seconds."""

CONNECTIONS: Final = "worker_connections"
MEMORY: Final = "worker_memory"
STARTED: Final = "worker_started"
LOOKUPS: Final = "tls_cache"
LOOP_LAG: Final = "loop_lag"

# Seconds between two samples, and the system's file about a process's memory, which stays open inside the sandbox.
_PERIOD: Final = 1.0
_STATM: Final = "/proc/self/statm"
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Watched(Served, Protocol):
    """The settings of a `server` block that are needed here."""

    @property
    def ssl(self) -> SslSettings | None: ...


class Cache(Protocol):
    """The part of a TLS context with a named session cache that is needed here."""

    @property
    def lookups(self) -> CacheLookups: ...


def words_of_workers(servers: Sequence[Watched]) -> tuple[str, ...]:
    """The names of all words that workers of these servers write: counters of sessions, and their own figures."""
    found = [*words(servers), word(STARTED), word(CONNECTIONS), word(MEMORY), *histogram(LOOP_LAG, LAG)]
    for name in dict.fromkeys(map(shared_cache, servers)):
        if name is not None:
            found += (word(LOOKUPS, name, result) for result in CacheLookups._fields)
    return tuple(found)


def shared_cache(settings: Watched) -> str | None:
    """The name of the TLS session cache that a server shares with all workers, None if there is none."""
    zone = None if settings.ssl is None else settings.ssl.session_cache.shared
    return None if zone is None else zone.name


def caches(servers: Iterable[tuple[Watched, TlsContext | None]]) -> dict[str, list[Context]]:
    """The TLS contexts of servers by the names of their shared session caches, each context once."""
    found: dict[str, dict[Context, None]] = {}
    for settings, tls in servers:
        if tls is not None and (name := shared_cache(settings)) is not None:
            found.setdefault(name, {})[tls.native] = None
    return {name: [*contexts] for name, contexts in found.items()}


class Vitals(Alarm):
    """Samples the figures once a second as long as there are clients, and once more when the last one has left.

    A worker without clients sleeps; `wake` must be called when one is accepted. `caches` are TLS contexts by the names
    of their session caches; several contexts may share a cache.
    """

    __slots__ = (
        "_caches", "_connections", "_due", "_lag", "_open", "_places", "_row", "_statm", "_tally", "_unoccupied",
    )  # fmt: skip

    def __init__(self, counters: Counters, connections: Connections, caches: Mapping[str, Sequence[Cache]]) -> None:
        """`counters` must have a row for this process, and `connections` must count only listeners so far."""
        super().__init__()
        assert counters.row is not None
        self._row = counters.row
        self._tally = Tally(counters.row)
        self._connections = connections
        self._unoccupied = connections.in_use
        self._due = 0.0
        self._lag = counters.place(word(LOOP_LAG, repr(LAG[0])))
        self._places = counters.place(word(CONNECTIONS)), counters.place(word(MEMORY))
        self._caches = [(counters.place(word(LOOKUPS, name, "hit")), caches[name]) for name in caches]
        self._open = True
        self._statm = _open()
        self._row[counters.place(word(STARTED))] = int(time())
        self.look()

    def wake(self) -> None:
        """Set a deadline, as there is a client and no deadline yet."""
        if self._open:
            loop = self._connections.loop
            loop.set_deadline(self, loop.now + _PERIOD)
            self._due = self.bucket  # timers are exact to 10 ms, which is no lag

    def expire(self) -> None:
        """The loop's call. Its delay shows how long other timers and ready descriptors have to wait."""
        self._tally.observe(self._lag, LAG, self._connections.loop.clock() - self._due)
        self.look()
        if self._connections.in_use > self._unoccupied:
            self.wake()

    def close(self) -> None:
        """Take a last sample before the process ends; later calls do nothing."""
        self._connections.loop.cancel_deadline(self)
        if self._open:
            self.look()
            self._open = False
            if self._statm is not None:
                os.close(self._statm)

    def look(self) -> None:
        """Write the current figures."""
        connections, memory = self._places
        self._row[connections] = max(self._connections.in_use, 0)
        self._row[memory] = _resident(self._statm)
        for place, contexts in self._caches:
            for offset, found in enumerate(map(sum, zip(*(each.lookups for each in contexts), strict=True))):
                self._row[place + offset] = found


def _open() -> int | None:
    try:
        return os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # the system has no such file


def _resident(statm: int | None) -> int:
    """The resident memory in bytes, 0 if the system does not report it."""
    if statm is None:
        return 0
    os.lseek(statm, 0, os.SEEK_SET)
    return int(os.read(statm, 100).split()[1]) * _PAGE
