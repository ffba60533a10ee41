"""Tables by host names, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from mailworker.variables.host_table import HostTable

V = TypeVar("V")


def hosts(entries: Mapping[str, V]) -> HostTable[V]:
    """The table that has these names and masks."""
    table: HostTable[V] = HostTable()
    for key, value in entries.items():
        assert table.add(key.encode(), value)
    return table
