"""Shared memory zones, which directives of any block may declare and share by name (ngx_shared_memory_add)."""

from __future__ import annotations

from dataclasses import dataclass, field

from mailworker.config.tree import Parser
from mailworker.config.values import PAGE


@dataclass(frozen=True, slots=True)
class SharedZone:
    """`shared:NAME:SIZE`."""

    name: str
    size: int


SMALLEST = 8 * PAGE  # bytes, what nginx's slab allocator needs


@dataclass(slots=True)
class ZonesDraft:
    """The zones declared so far, by name."""

    zones: dict[str, SharedZone] = field(default_factory=dict)


def declare_zone(parser: Parser, name: str, size: int) -> SharedZone:
    """The zone of this name; raises ConfigError where it was declared with another size."""
    zone = parser.main.draft(ZonesDraft).zones.setdefault(name, SharedZone(name, size))
    if zone.size != size:
        raise parser.error(
            f'the size {size} of shared memory zone "{name}" conflicts with already declared size {zone.size}'
        )
    return zone
