"""Shared memory zones, which directives of any block may declare and share by name (ngx_shared_memory_add)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from mailworker.config.templates import read_key
from mailworker.config.tree import Parser
from mailworker.config.values import PAGE, size
from mailworker.variables.template import Template


@dataclass(frozen=True, slots=True)
class SharedZone:
    """A zone: its name, its size in bytes, and `use`, the directive that declares it, which decides about its contents.

    `words` describe the contents, and `workers` is the number of processes that may have rows, as far as the use needs
    them.
    """

    name: str
    size: int
    use: str
    words: tuple[str, ...] = ()
    workers: int = 0


@dataclass(frozen=True, slots=True)
class KeyedZone:
    """A zone that counts by a `key`, which is `text` in the configuration.

    LIGHT are variables that every session knows, even if it evaluates no other variables.
    """

    LIGHT: ClassVar[frozenset[str]]

    zone: SharedZone
    key: Template

    @property
    def name(self) -> str:
        return self.zone.name

    @property
    def text(self) -> str:
        return self.zone.words[0]

    @property
    def light(self) -> str | None:
        """The variable that is the whole key, if it is one of LIGHT."""
        return name if (name := self.key.only) in self.LIGHT else None


KeyedT = TypeVar("KeyedT", bound=KeyedZone)

SMALLEST = 8 * PAGE  # bytes, what nginx's slab allocator needs


@dataclass(slots=True)
class ZonesDraft:
    """The zones declared so far, by name."""

    zones: dict[str, SharedZone] = field(default_factory=dict)


def declare_keyed_zone(
    parser: Parser, zones: dict[str, KeyedT], make: Callable[[SharedZone, Template], KeyedT], *others: str
) -> None:
    """Add a zone to `zones`, made by `make`; the directive is `NAME KEY zone=NAME:SIZE`. Raises ConfigError.

    Parameters that begin with one of `others` are left to the caller.
    """
    directive, text, *parameters = parser.words
    key, found = read_key(parser, text), None
    for word in parameters:
        if word.startswith("zone="):
            found = _read_zone(parser, word)
        elif not word.startswith(others):
            raise parser.error(f'invalid parameter "{word}"')
    if found is None:
        raise parser.error(f'"{directive}" must have "zone" parameter')
    name, size = found
    shared = declare_zone(parser, name, size, directive, (text,))
    if name in zones:
        raise parser.error(f'{directive} "{name}" is already bound to key "{zones[name].text}"')
    zones[name] = make(shared, key)


def _read_zone(parser: Parser, word: str) -> tuple[str, int]:
    """The name and the size in the parameter `zone=NAME:SIZE`. Raises ConfigError."""
    name, _, text = word.removeprefix("zone=").partition(":")
    bytes_ = size(text)
    if bytes_ is None:
        raise parser.error(f'invalid zone size "{word}"')
    if bytes_ < SMALLEST:
        raise parser.error(f'zone "{word}" is too small')
    if not name:
        raise parser.error(f'"{parser.words[0]}" must have "zone" parameter')
    return name, bytes_


def declare_zone(parser: Parser, name: str, size: int, use: str, words: tuple[str, ...] = ()) -> SharedZone:
    """The zone of this name; raises ConfigError if it was declared for another use or with another size."""
    zone = parser.main.draft(ZonesDraft).zones.setdefault(name, SharedZone(name, size, use, words))
    if zone.use != use:
        raise parser.error(f'the shared memory zone "{name}" is already declared for a different use')
    if zone.size != size:
        raise parser.error(
            f'the size {size} of shared memory zone "{name}" conflicts with already declared size {zone.size}'
        )
    return zone
