"""`geo`: a variable whose value depends on the network of an address (ngx_stream_geo_module)."""

from __future__ import annotations

import socket
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mailworker.model import MAPPED, ipv4_octets
from mailworker.variables.facts import Evaluate, Facts
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables

NOWHERE: Final = 0xFFFFFFFF
"""A text that is no address is looked up as 255.255.255.255."""

Networks = Mapping[int, Mapping[int, bytes]]
"""Prefix length -> bits of the prefix -> value."""


@dataclass(frozen=True, slots=True)
class Geo:
    """A `geo` block with networks."""

    source: Template
    ipv4: Networks = field(default_factory=dict)
    ipv6: Networks = field(default_factory=dict)

    def outcomes(self) -> Iterable[bytes]:
        """See `Definition.outcomes`."""
        yield b""
        for networks in (self.ipv4, self.ipv6):
            for values in networks.values():
                yield from values.values()

    def bind(self, variables: Variables) -> Evaluate:
        """See `Definition.bind`."""
        source = variables.bind(self.source)
        ipv4, ipv6 = _longest_first(self.ipv4, 32), _longest_first(self.ipv6, 128)

        def evaluate(facts: Facts) -> bytes:
            number, is_ipv6 = read_address(source(facts))
            for shift, values in ipv6 if is_ipv6 else ipv4:
                value = values.get(number >> shift)
                if value is not None:
                    return value
            return b""

        return evaluate


@dataclass(frozen=True, slots=True)
class GeoRanges:
    """A `geo` block with `ranges`, only for IPv4: `starts` are sorted, and `ends` has the end of each range."""

    source: Template
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    values: tuple[bytes, ...] = ()
    default: bytes = b""

    def outcomes(self) -> Iterable[bytes]:
        """See `Definition.outcomes`."""
        return (self.default, *self.values)

    def bind(self, variables: Variables) -> Evaluate:
        """See `Definition.bind`."""
        source = variables.bind(self.source)

        def evaluate(facts: Facts) -> bytes:
            number, is_ipv6 = read_address(source(facts))
            if is_ipv6:
                number = NOWHERE
            index = bisect_right(self.starts, number) - 1
            within = index >= 0 and number <= self.ends[index]
            return self.values[index] if within else self.default

        return evaluate


def read_address(text: bytes) -> tuple[int, bool]:
    """An address as a number, and whether it is IPv6; an IPv4-mapped address counts as IPv4."""
    octets = ipv4_octets(text)
    if octets is not None:
        return int.from_bytes(octets, "big"), False
    try:
        packed = socket.inet_pton(socket.AF_INET6, text.decode("ascii"))
    except (OSError, ValueError):
        return NOWHERE, False
    if packed.startswith(MAPPED):
        return int.from_bytes(packed[12:], "big"), False
    return int.from_bytes(packed, "big"), True


def _longest_first(networks: Networks, bits: int) -> list[tuple[int, Mapping[int, bytes]]]:
    return [(bits - length, networks[length]) for length in sorted(networks, reverse=True)]
