"""The `split_clients` block (ngx_conf_split_clients_block)."""

from __future__ import annotations

import os
import re

from mailworker.config.templates import new_variable, read_key
from mailworker.config.tree import Parser
from mailworker.variables.split_clients import WHOLE, SplitClients
from mailworker.variables.variables import Definition

# As ngx_atofp with two decimal places.
_PERCENT = re.compile(r"([0-9]*)(?:\.([0-9]{0,2}))?%")


def read_split_clients(parser: Parser) -> tuple[str, Definition]:
    """The variable that a block defines, and its definition. Raises ConfigError."""
    source = read_key(parser, parser.words[1])
    name = new_variable(parser, parser.words[2])
    parts: list[tuple[int | None, bytes]] = []

    def take(parser: Parser) -> None:
        if len(parser.words) != 2:
            raise parser.error("invalid number of the split_clients parameters")
        share, value = parser.words
        parts.append((None if share == "*" else _share(parser, share), os.fsencode(value)))

    parser.parse_entries(take)
    total = 0
    for share, _ in parts:
        total = WHOLE if share is None else total + share
        if total > WHOLE:
            raise parser.error("percent total is greater than 100%")
    return name, SplitClients(source, tuple(parts))


def _share(parser: Parser, word: str) -> int:
    """A share in hundredths of one per cent; 0 is invalid."""
    match = _PERCENT.fullmatch(word)
    share = int((match[1] + (match[2] or "").ljust(2, "0"))[-10:] or "0") if match else 0
    if match is None or share == 0 or len(match[1].lstrip("0")) > 5:
        raise parser.error(f'invalid percent value "{word}"')
    return share
