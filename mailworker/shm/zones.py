"""The zones of a configuration, and the parts of each kind of zone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from mailworker.config.zones import SharedZone
from mailworker.shm import conns, counters, limits, sessions
from mailworker.shm.conns import Conns
from mailworker.shm.counters import Counters
from mailworker.shm.limits import Limits
from mailworker.shm.sessions import SessionTable
from mailworker.shm.shared import Shared
from mailworker.shm.ticket_keys import TicketKeys
from mailworker.shm.tls_sessions import TlsSessions

KINDS: Final[dict[str, tuple[Callable[[SharedZone], Shared], ...]]] = {
    "ssl_session_cache": (lambda zone: TlsSessions(zone.name, zone.size), lambda zone: TicketKeys(zone.name)),
    counters.USE: (lambda zone: Counters(zone.name, zone.words),),
    conns.USE: (lambda zone: Conns(zone.name, zone.size, zone.words[0], zone.workers, int(zone.words[1])),),
    limits.USE: (lambda zone: Limits(zone.name, zone.size, zone.words[0]),),
    sessions.USE: (lambda zone: SessionTable(zone.name, zone.size, zone.workers, _pairs(zone.words)),),
}
"""Functions that make the parts of a zone, by the directive of the zone. A new kind needs a class and a row here."""

SharedT = TypeVar("SharedT", bound=Shared)


class Zones:
    """The zones of one configuration, each with all its parts.

    A zone of the previous configuration with the same use, name and size is kept. A zone of another size is new, and
    copies what its kind can use; workers of the previous configuration go on with the former zone.
    """

    __slots__ = ("_zones",)

    def __init__(self, wanted: Iterable[SharedZone], previous: Zones | None = None) -> None:
        """Raises StartError if the system does not have enough memory; `previous` is unchanged in any case."""
        known = previous._zones if previous else {}
        self._zones: dict[SharedZone, tuple[Shared, ...]] = {
            zone: known.get(zone) or _make(zone, known) for zone in wanted
        }

    def __iter__(self) -> Iterator[Shared]:
        for parts in self._zones.values():
            yield from parts

    def get(self, kind: type[SharedT], zone: SharedZone) -> SharedT:
        """The part of a zone that is a `kind`; raises KeyError for a zone of another configuration."""
        for part in self._zones[zone]:
            if isinstance(part, kind):
                return part
        raise KeyError(zone)

    @property
    def descriptors(self) -> list[int]:
        """The descriptors that a master must keep open."""
        return [part.descriptor for part in self if part.descriptor is not None]

    def stop_publishing(self, survivor: Zones | None = None) -> None:
        """Call `stop_publishing` of all parts, except zones that `survivor` has in common with these."""
        kept = {} if survivor is None else survivor._zones
        for zone, parts in self._zones.items():
            if zone not in kept:
                for part in parts:
                    part.stop_publishing()


def _pairs(words: Iterable[str]) -> list[tuple[str, str]]:
    return [(first, second) for first, _, second in (word.partition("\0") for word in words)]


def _make(zone: SharedZone, known: dict[SharedZone, tuple[Shared, ...]]) -> tuple[Shared, ...]:
    parts = tuple(make(zone) for make in KINDS[zone.use])
    for former, others in known.items():
        if (former.name, former.use) == (zone.name, zone.use):
            for part, other in zip(parts, others, strict=True):
                part.follow(other)
    return parts
