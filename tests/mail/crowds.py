"""Limits of connections for tests of whole sessions."""

from __future__ import annotations

from typing import Any

from mailworker.config.limit_conn import ConnLimit, ConnZone, LimitConnSettings
from mailworker.config.zones import SharedZone
from mailworker.variables.template import parse


def limits(*each: tuple[str, str, int], size: int = 8192, **changes: Any) -> LimitConnSettings:
    """Limits by name of the zone, key and number."""
    return LimitConnSettings(
        tuple(
            ConnLimit(
                ConnZone(SharedZone(name, size, "limit_conn_zone", (key,)), template := parse(key.encode())),
                most,
                frozenset(template.names),
            )
            for name, key, most in each
        ),
        **changes,
    )
