"""The guards of a worker's servers, made of settings and zones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mailworker.config.limit_auth import LimitAuth, LimitAuthSettings, LimitZone
from mailworker.config.variables import VariablesSettings
from mailworker.event.loop import Loop
from mailworker.mail.counting import limit_words
from mailworker.mail.held import SHARE, Held
from mailworker.mail.limits.guard import Guard
from mailworker.mail.limits.limit import Limit
from mailworker.mail.limits.shuffled import Shuffled
from mailworker.shm.counters import Counters
from mailworker.shm.limit_table import LimitTable

Tables = Callable[[LimitZone], LimitTable]
"""Gives the table of a zone."""


class LimitedServer(Protocol):
    """The part of the settings of a `server` block that is needed here."""

    @property
    def limit_auth(self) -> LimitAuthSettings: ...
    @property
    def variables(self) -> VariablesSettings: ...


class Guards:
    """Makes the guards of one worker, which share the number of sessions held back."""

    __slots__ = ("_counters", "_shuffled", "_tables", "held")

    def __init__(self, loop: Loop, connections: int, tables: Tables, counters: Counters | None) -> None:
        """`connections` are worker_connections."""
        self._counters = counters
        self.held = Held(max(connections // SHARE, 1))
        self._shuffled = Shuffled(loop)
        self._tables = tables

    def of(self, server: LimitedServer, *, noted: bool = True) -> Guard | None:
        """The guard of a server, None if it has no limits; `noted` as in Guard."""
        settings = server.limit_auth
        if not settings.guards:
            return None
        limits = [self._limit(each, server) for each in settings.limits]
        zone = None if settings.delay is None else settings.delay.zone
        if zone is not None and all(limit.settings.zone != zone for limit in limits):
            limits.append(self._limit(LimitAuth(zone), server, counts=False))
        return Guard(settings, limits, self._shuffled, self.held, noted=noted)

    def _limit(self, settings: LimitAuth, server: LimitedServer, *, counts: bool = True) -> Limit:
        zone, variables = settings.zone, server.variables.bind()
        limit = Limit(settings, self._tables(zone), variables, counts=counts)
        if self._counters is not None and self._counters.row is not None:
            limit.counted = limit_words(self._counters, zone.name)
        return limit
