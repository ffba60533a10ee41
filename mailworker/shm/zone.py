"""Named memory that the master and all its workers write and read."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress

from mailworker.config.settings import SharedZone
from mailworker.errors import StartError

HEAD_SIZE = 1024  # bytes


class Zone:
    """Memory shared by the process that makes it and all that it forks later; zeros at first.

    It has no name in any file system and no descriptor: the kernel frees it when the last process that knows it has
    gone. Whoever keeps a part of it keeps `memory`, not a view: Python before 3.12 crashes where its collector meets
    a memoryview in something that is to be freed.
    """

    __slots__ = ("memory", "name", "size")

    def __init__(self, name: str, size: int) -> None:
        """`size` in bytes; raises StartError where the system has no such memory."""
        try:
            memory = mmap.mmap(-1, size)
        except OSError as error:
            raise StartError(f"mmap(MAP_ANON|MAP_SHARED, {size}) failed ({error.errno}: {error.strerror})") from error
        if hasattr(mmap, "MADV_DONTDUMP"):  # a core file shall hold no sessions of clients
            with suppress(OSError):  # a sandbox may refuse it
                memory.madvise(mmap.MADV_DONTDUMP)
        self.name = name
        self.size = size
        self.memory = memory

    @property
    def head(self) -> memoryview:
        """The first HEAD_SIZE bytes, for ticket keys."""
        return memoryview(self.memory)[:HEAD_SIZE]

    @property
    def body(self) -> memoryview:
        """The rest, for sessions."""
        return memoryview(self.memory)[HEAD_SIZE:]


class Zones:
    """The zones of one configuration.

    A zone that the previous configuration had under the same name, and of the same size, is kept with all that is in
    it. One of another size starts empty; workers of the previous configuration go on with theirs.
    """

    __slots__ = ("_zones",)

    def __init__(self, wanted: Iterable[SharedZone], previous: Zones | None = None) -> None:
        """Raises StartError where the system has not enough memory; `previous` stays as it is in any case."""
        known = previous._zones if previous else {}
        self._zones: dict[SharedZone, Zone] = {zone: known.get(zone) or Zone(zone.name, zone.size) for zone in wanted}

    def __iter__(self) -> Iterator[Zone]:
        return iter(self._zones.values())

    def get(self, zone: SharedZone) -> Zone:
        """The zone of that name; raises KeyError for one that is not of this configuration."""
        return self._zones[zone]
