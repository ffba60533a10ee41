"""Memory that the master and its workers share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from mailworker.config.zones import SharedZone
from mailworker.shm.anonymous import anonymous
from mailworker.shm.ticket_keys import TicketKeys


class Shared(Protocol):
    """What processes share by a name, whatever kind it is of; a new binary goes on with what is in it.

    `layout` is a number that becomes another one with the meaning of its bytes.
    """

    name: str

    @property
    def kind(self) -> str: ...

    @property
    def layout(self) -> int: ...

    def contents(self) -> Iterable[bytes | memoryview]:
        """The parts of a copy; none where there is nothing to go on with."""

    def take_over(self, contents: bytes) -> None:
        """Go on with a copy of the same kind, layout and name; one that cannot be used is left alone."""


class Zone:
    """TLS sessions, in memory that the process which makes it and all that it forks later write; zeros at first.

    A worker that somebody has taken over can write anything there: whoever reads it takes it for hostile input. The
    master reads nothing of it.

    It has no name in any file system and no descriptor: the kernel frees it when the last process that knows it has
    gone. Whoever keeps a part of it keeps `memory`, not a view: Python before 3.12 crashes where its collector meets
    a memoryview in something that is to be freed.
    """

    __slots__ = ("memory", "name", "size")

    kind: Final = "TLS sessions"
    layout: Final = 1

    def __init__(self, name: str, size: int) -> None:
        """`size` in bytes; raises StartError where the system has no such memory."""
        self.name = name
        self.size = size
        self.memory = anonymous(size)

    def contents(self) -> Iterable[memoryview]:
        """See `Shared`."""
        return (memoryview(self.memory),)

    def take_over(self, contents: bytes) -> None:
        """See `Shared`; a copy of another size is of no use."""
        if len(contents) == self.size:
            self.memory[:] = contents


class Zones:
    """The zones of one configuration, and the ticket keys of each.

    A zone that the previous configuration had under the same name, and of the same size, is kept with all that is in
    it. One of another size starts empty; workers of the previous configuration go on with theirs.
    """

    __slots__ = ("_zones",)

    def __init__(self, wanted: Iterable[SharedZone], previous: Zones | None = None) -> None:
        """Raises StartError where the system has not enough memory; `previous` stays as it is in any case."""
        known = previous._zones if previous else {}
        self._zones: dict[SharedZone, tuple[Zone, TicketKeys]] = {
            zone: known.get(zone) or (Zone(zone.name, zone.size), TicketKeys(zone.name)) for zone in wanted
        }

    def __iter__(self) -> Iterator[Shared]:
        for zone, ticket_keys in self._zones.values():
            yield zone
            yield ticket_keys

    def get(self, zone: SharedZone) -> Zone:
        """The zone of that name; raises KeyError for one that is not of this configuration."""
        return self._zones[zone][0]

    def ticket_keys(self, zone: SharedZone) -> TicketKeys:
        """The ticket keys of that zone; raises KeyError for one that is not of this configuration."""
        return self._zones[zone][1]

    @property
    def descriptors(self) -> list[int]:
        """What a master must keep open."""
        found = (ticket_keys.descriptor for _, ticket_keys in self._zones.values())
        return [descriptor for descriptor in found if descriptor is not None]

    def stop_publishing(self, survivor: Zones | None = None) -> None:
        """What only a master does is done no more, but for what `survivor` has in common with these."""
        kept = {} if survivor is None else survivor._zones
        for wanted, (_, ticket_keys) in self._zones.items():
            if wanted not in kept:
                ticket_keys.stop_publishing()
