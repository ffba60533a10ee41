"""One `limit_auth` of a server, in a worker."""

from __future__ import annotations

from typing import Final

from mailworker.config.limit_auth import LimitAuth
from mailworker.errors import escape
from mailworker.mail.counting import Words
from mailworker.mail.limits.keys import Key, known_at_accept, rendered, tells_the_client
from mailworker.mail.record import SessionRecord
from mailworker.model import Level
from mailworker.shm.attempts import NONE, Rule, ban_by_limit
from mailworker.shm.keys import number_of
from mailworker.shm.limit_table import LimitTable
from mailworker.variables.variables import Variables

# Seconds between two log lines of a worker that a zone is full.
_TELL_AGAIN: Final = 10.0


class Limit:
    """One limit: its `rule`, and the function `key` that gives a session's key, None for one that every session has.

    `at_accept` tells whether the key is known before the client has sent anything. `counted` are the zone's counters.
    """

    __slots__ = ("_dropped", "_told", "at_accept", "counted", "key", "name", "rule", "settings", "table")

    def __init__(self, settings: LimitAuth, table: LimitTable, variables: Variables, *, counts: bool = True) -> None:
        """Without `counts` the limit counts no attempts, and only the other data of the table is used."""
        zone, names = settings.zone, variables.used_by(settings.zone.key)
        self.settings = settings
        self.table = table
        self.name = zone.name
        self.key: Key | None = rendered(zone.key, variables) if zone.light is None else None
        self.at_accept = known_at_accept(names)
        self.rule = Rule(
            table,
            number_of(zone.light),
            settings.burst if counts else NONE,
            NONE if settings.delay is None else settings.delay,
            bool(settings.ban),
            settings.counts_all,
            not tells_the_client(names),
            zone.gain,
            zone.period,
        )
        self.counted: Words | None = None
        self._dropped = table.dropped
        self._told = -_TELL_AGAIN

    def count(self, family: str) -> None:
        """Add one to the zone's counter of `family`, if there are counters."""
        if self.counted is not None:
            self.counted.add(family)

    def ban(self, key: bytes, record: SessionRecord, now: float, level: Level) -> None:
        """Ban the key and log that, if the limit bans."""
        seconds = self.settings.ban
        if seconds and not self.table.banned(key, now):
            ban_by_limit(self.table, key, now, seconds)
            record.write(level, f'banned for {seconds:g}s by zone "{escape(self.name.encode())}"')

    def complain(self, record: SessionRecord, now: float) -> None:
        """Log that the zone is too small, but not for each key that has to go."""
        if now - self._told >= _TELL_AGAIN:
            lost = self.table.dropped - self._dropped
            record.write(Level.WARN, f'limit_auth_zone "{self.name}" is full, {lost} keys that still counted had to go')
            self._told = now
            self._dropped = self.table.dropped
