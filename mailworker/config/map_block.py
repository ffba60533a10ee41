"""The `map` block (ngx_stream_map_block, ngx_hash_add_key)."""

from __future__ import annotations

import os

from mailworker.config.templates import new_variable, read_key, read_value
from mailworker.config.tree import Parser
from mailworker.variables.host_table import HostTable, is_host
from mailworker.variables.map import Map, Value
from mailworker.variables.regex import Regex
from mailworker.variables.variables import Definition


def read_map(parser: Parser) -> tuple[str, Definition]:
    """The variable that a block defines, and its definition. Raises ConfigError."""
    source = read_key(parser, parser.words[1])
    name = new_variable(parser, parser.words[2])
    entries = _Entries()
    parser.parse_entries(entries.take)
    return name, Map(
        source,
        b"" if entries.default is None else entries.default,
        entries.hostnames,
        entries.table,
        tuple(entries.regexes),
    )


class _Entries:
    """The entries read so far."""

    __slots__ = ("_values", "default", "hostnames", "regexes", "table")

    def __init__(self) -> None:
        self.default: Value | None = None
        self.hostnames = False
        self.table: HostTable[Value] = HostTable()
        self.regexes: list[tuple[Regex, Value]] = []
        self._values: dict[str, Value] = {}  # equal values are kept once

    def take(self, parser: Parser) -> None:
        """Read one entry. Raises ConfigError."""
        words = parser.words
        if len(words) == 1 and words[0] in ("hostnames", "volatile"):
            self.hostnames = self.hostnames or words[0] == "hostnames"
        elif len(words) != 2:
            raise parser.error("invalid number of the map parameters")
        elif words[0] == "include":
            parser.include()
        else:
            key, word = words
            value = self._values.get(word)
            if value is None:
                value = self._values[word] = read_value(parser, word)
            self._add(parser, key, value)

    def _add(self, parser: Parser, key: str, value: Value) -> None:
        if key == "default":
            if self.default is not None:
                raise parser.error("duplicate default map parameter")
            self.default = value
        elif key.startswith("~"):
            caseless = key.startswith("~*")
            self.regexes.append((parser.regex(key[1 + caseless :], caseless=caseless), value))
        else:
            word = key.removeprefix("\\")
            lower = os.fsencode(word).lower()
            if self.hostnames and not is_host(lower):
                raise parser.error(f'invalid hostname or wildcard "{word}"')
            if not (self.table.add if self.hostnames else self.table.add_name)(lower, value):
                raise parser.error(f'conflicting parameter "{os.fsdecode(lower)}"')
