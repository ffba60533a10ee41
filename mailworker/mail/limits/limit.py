"""One `limit_auth` of a server, in a worker."""

from __future__ import annotations

from typing import Final

from mailworker.config.limit_auth import REQUEST, LimitAuth
from mailworker.errors import escape
from mailworker.mail.counting import CountedLimits
from mailworker.mail.limits.keys import Key, asked, key_of, known_at_accept, tells_the_client
from mailworker.mail.record import SessionRecord
from mailworker.model import Level
from mailworker.shm.limit_table import LimitTable
from mailworker.variables.prefix import DEFAULT_LENGTHS, Lengths, packed_prefix
from mailworker.variables.variables import Variables

# Seconds for which a client that has logged in as a user is not taken for a stranger.
_TRUSTED: Final = 30 * 86400.0
# Seconds in which a worker tells once that a zone is full.
_TELL_AGAIN: Final = 10.0
# Seconds that an attempt is under way at most, while its failure or success may still free a place.
_UNSETTLED: Final = 1.0


class Limit:
    """`key` gives what a session is counted by.

    `at_accept` tells whether that is known before the client has said anything; `trusts` whether it is a key that
    strangers can exceed for somebody, so that clients are let through who were in before. `counted` is what is counted
    of the zone.
    """

    __slots__ = ("_dropped", "_told", "at_accept", "counted", "key", "name", "settings", "table", "trusts")

    def __init__(self, settings: LimitAuth, table: LimitTable, variables: Variables, lengths: Lengths) -> None:
        names = asked(settings.zone, variables)
        self.settings = settings
        self.table = table
        self.name = settings.zone.zone.name
        self.key: Key = key_of(settings.zone, variables, lengths)
        self.at_accept = known_at_accept(names)
        self.trusts = not tells_the_client(names)
        self.counted: CountedLimits | None = None
        self._dropped = 0
        self._told = -_TELL_AGAIN

    def take(self, key: bytes, record: SessionRecord, now: float) -> int:
        """Count an attempt; see `LimitTable.take`. One that may be trusted or is banned is not counted."""
        settings, table = self.settings, self.table
        if settings.ban and table.banned(key, now):
            return -1 - settings.burst - REQUEST
        excess = table.take(key, now, settings.burst)
        if table.dropped != self._dropped:
            self._complain(record, now)
        return excess

    def wait(self, excess: int) -> float:
        """Seconds for which an attempt is delayed that has come to this excess.

        Where only failures count, those before it decide: it is none yet.
        """
        settings = self.settings
        if settings.delay is None:
            return 0.0
        above = excess - settings.delay - (0 if settings.counts_all else REQUEST)
        return above * settings.zone.period // settings.zone.gain / 1000 if above > 0 else 0.0

    def may_settle(self, key: bytes, now: float) -> bool:
        """Whether attempts may be under way that do not count in the end."""
        return not self.settings.counts_all and self.table.rest(key, now) < _UNSETTLED

    def count(self, family: str) -> None:
        """One more of a family of numbers, if anybody counts."""
        if self.counted is not None:
            self.counted.add(family)

    def ban(self, key: bytes, record: SessionRecord, now: float, level: Level) -> None:
        """Refuse the key from now on, if the limit bans."""
        seconds = self.settings.ban
        if seconds and not self.table.banned(key, now):
            self.table.ban(key, now, seconds)
            record.write(level, f'banned for {seconds:g}s by zone "{escape(self.name.encode())}"')

    def is_trusted(self, key: bytes, record: SessionRecord, now: float) -> bool:
        """Whether the client has logged in by this key before, so that what strangers do is not its fault."""
        if not self.trusts:
            return False
        level, age = self.table.penalty(_trust(key, record), now)
        return level > 0 and age < _TRUSTED

    def trust(self, key: bytes, record: SessionRecord, now: float) -> None:
        """The client has logged in."""
        if self.trusts:
            self.table.punish(_trust(key, record), now, 1)

    def _complain(self, record: SessionRecord, now: float) -> None:
        """Tell the log that the zone is too small, but not with each key that has to go."""
        if now - self._told >= _TELL_AGAIN:
            lost = self.table.dropped - self._dropped
            record.write(Level.WARN, f'limit_auth_zone "{self.name}" is full, {lost} keys that still counted had to go')
            self._told = now
            self._dropped = self.table.dropped


def _trust(key: bytes, record: SessionRecord) -> bytes:
    """The key of another entry: the client's network behind the key."""
    client = record.client
    return b"\0%b\0%b" % (key, client.encode() if client == "unix:" else packed_prefix(client, DEFAULT_LENGTHS))
