"""The `geo` block (ngx_stream_geo_block), with networks or with `ranges`."""

from __future__ import annotations

import os

from mailworker.config.geo_ranges import Ranges
from mailworker.config.networks import read_block
from mailworker.config.templates import new_variable, variable_name
from mailworker.config.tree import Parser
from mailworker.variables.geo import NOWHERE, Geo
from mailworker.variables.template import Name, Template
from mailworker.variables.variables import Definition


def read_geo(parser: Parser) -> tuple[str, Definition]:
    """The variable that a block defines, and its definition. Raises ConfigError."""
    *source, made = parser.words[1:]
    asked = variable_name(parser, source[0]) if source else "remote_addr"
    template = Template((Name(asked, f"${asked}".encode()),), parser.where)
    name = new_variable(parser, made)
    entries = _Entries()
    parser.parse_entries(entries.take)
    return name, entries.definition(template)


class _Entries:
    """The entries read so far. The keys of networks are IP version, prefix length and prefix bits."""

    __slots__ = ("_networks", "_ranges")

    def __init__(self) -> None:
        self._ranges: Ranges | None = None
        self._networks: dict[int, dict[int, dict[int, bytes]]] = {4: {}, 6: {}}

    def definition(self, source: Template) -> Definition:
        """The definition with these entries."""
        if self._ranges is not None:
            return self._ranges.definition(source)
        return Geo(source, self._networks[4], self._networks[6])

    def take(self, parser: Parser) -> None:
        """Read one entry. Raises ConfigError."""
        words = parser.words
        if words == ["ranges"]:
            if any(self._networks.values()):
                raise parser.error('the "ranges" directive must be the first directive inside "geo" block')
            self._ranges = self._ranges or Ranges()
        elif words == ["volatile"]:
            pass  # values are never cached
        elif len(words) != 2:
            raise parser.error("invalid number of the geo parameters")
        elif words[0] == "include":
            parser.parse_file(parser.beside_configuration(words[1]))
        elif self._ranges is not None:
            self._ranges.take(parser)
        else:
            self._take_network(parser)

    def _take_network(self, parser: Parser) -> None:
        word, value = parser.words
        if word == "default":
            for version in (4, 6):
                self._add(parser, (version, 0, 0), value)
        elif word == "delete":
            version, length, bits = _network(parser, value)
            if self._networks[version].get(length, {}).pop(bits, None) is None:
                parser.warn(f'no network "{value}" to delete')
        else:
            self._add(parser, _network(parser, word), value)

    def _add(self, parser: Parser, network: tuple[int, int, int], word: str) -> None:
        version, length, bits = network
        same_length = self._networks[version].setdefault(length, {})
        old = same_length.get(bits)
        if old is not None:
            parser.warn(f'duplicate network "{parser.words[0]}", value: "{word}", old value: "{os.fsdecode(old)}"')
        same_length[bits] = os.fsencode(word)


def _network(parser: Parser, word: str) -> tuple[int, int, int]:
    """IP version, length and bits of a prefix."""
    if word == "255.255.255.255":  # nginx reads this, and every invalid address, as the same value
        return 4, 32, NOWHERE
    network = read_block(parser, word)
    if network is None:
        raise parser.error(f'invalid network "{word}"')
    shift = network.max_prefixlen - network.prefixlen
    return network.version, network.prefixlen, int(network.network_address) >> shift
