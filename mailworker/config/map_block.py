"""The `map` block (ngx_stream_map_block, ngx_hash_add_key)."""

from __future__ import annotations

import os

from mailworker.config.templates import new_variable, read_template, read_value
from mailworker.config.tree import Parser
from mailworker.variables.host_masks import DOT, add_key, is_host, mask
from mailworker.variables.map import Map, Value
from mailworker.variables.regex import BadRegex, Regex
from mailworker.variables.variables import Definition


def read_map(parser: Parser) -> tuple[str, Definition]:
    """The variable that a block defines, and its definition. Raises ConfigError."""
    source = read_template(parser, parser.words[1])
    name = new_variable(parser, parser.words[2])
    entries = _Entries()
    parser.parse_entries(entries.take)
    return name, Map(
        source,
        b"" if entries.default is None else entries.default,
        entries.hostnames,
        entries.exact,
        entries.heads,
        entries.tails,
        tuple(entries.regexes),
    )


class _Entries:
    """The entries read so far."""

    __slots__ = ("_values", "default", "exact", "heads", "hostnames", "regexes", "tails")

    def __init__(self) -> None:
        self.default: Value | None = None
        self.hostnames = False
        self.exact: dict[str, Value] = {}
        self.heads: dict[bytes, Value] = {}
        self.tails: dict[bytes, Value] = {}
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
            try:
                self.regexes.append((parser.compile_regex(os.fsencode(key[1 + caseless :]), caseless), value))
            except BadRegex as reason:
                raise parser.error(str(reason)) from reason
        else:
            word = key.removeprefix("\\")
            lower = os.fsencode(word).lower()
            if self.hostnames and not is_host(lower):
                raise parser.error(f'invalid hostname or wildcard "{word}"')
            if not self._add_key(lower, value):
                raise parser.error(f'conflicting parameter "{os.fsdecode(lower)}"')

    def _add_key(self, key: bytes, value: Value) -> bool:
        """Add a key, or a mask where masks are allowed; returns whether it was new."""
        fixed = mask(key) if self.hostnames else None
        if fixed is None:
            return add_key(self.exact, key.decode("latin-1"), value)
        start, end = fixed
        part = key[start:end]
        if not start:
            return add_key(self.tails, part, value)
        if start == DOT and not add_key(self.exact, part.decode("latin-1"), value):  # stands for the name itself too
            return False
        return add_key(self.heads, part, value)
