"""The limits of `limit_conn`: connections of each server by keys, counted by all workers together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mailworker.config.limit_conn import ConnLimit, ConnZone, LimitConnSettings
from mailworker.errors import escape
from mailworker.mail.end import End
from mailworker.mail.facts import FactsRecord
from mailworker.mail.limits.keys import known_at_accept, rendered
from mailworker.mail.record import SessionRecord
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, Level
from mailworker.shm.conn_table import FULL
from mailworker.shm.gate import TOO_LONG, Gate, Holdings, Rule
from mailworker.shm.keys import key, number_of
from mailworker.variables.prefix import WHOLE
from mailworker.variables.variables import Variables

# Seconds between two log lines of a worker that a zone is full.
_COMPLAIN_AGAIN: Final = 10.0


class _Limit:
    """One limit; `key` is None for a key that every session has, see `ConnZone.light`."""

    __slots__ = ("_complained", "key", "zone")

    def __init__(self, zone: ConnZone, variables: Variables) -> None:
        self.zone = zone
        self.key = rendered(zone.key, variables) if zone.light is None else None
        self._complained = -_COMPLAIN_AGAIN

    def key_of(self, record: SessionLog) -> bytes:
        if self.key is not None:
            return self.key(record)
        return key(number_of(self.zone.light), record.client, record.login, WHOLE)

    def complain(self, record: SessionLog) -> None:
        """Log that the zone is full, but not for each connection."""
        assert isinstance(record, SessionRecord)
        now = record.entrance.sessions.loop.now
        if now - self._complained >= _COMPLAIN_AGAIN:
            self._complained = now
            record.write(Level.ALERT, f'limit_conn_zone "{self.zone.name}" is full')


class _Stage:
    """The limits of a server that apply at the same stage of a session: at accept, or at login."""

    __slots__ = ("gate", "keys", "limits")

    def __init__(self, limits: Sequence[ConnLimit], zones: Sequence[str], variables: Variables, held: Holdings) -> None:
        self.limits = [_Limit(each.zone, variables) for each in limits]
        self.keys = [limit.key for limit in self.limits if limit.key is not None]
        rules = (Rule(zones.index(each.zone.name), number_of(each.zone.light), each.most) for each in limits)
        self.gate = Gate(held, tuple(rules))


def _unknown(_number: int, _client: str, _login: bytes, /) -> tuple[int, int]:
    return -1, 0


class ConnLimits:
    """The limits of one server. Keys that are known at accept are limited there, the others after a successful login.

    `at_login` is this object, None if nothing is limited there. `quick` is the check for a lobby at accept, None if a
    lobby cannot check.
    """

    __slots__ = ("_at_accept", "_at_login", "_settings", "asks_at_accept", "at_login", "quick", "refusal_at_login")

    def __init__(self, settings: LimitConnSettings, zones: Sequence[str], variables: Variables, held: Holdings) -> None:
        """`zones` are the names of the zones in `held`, in the same order."""
        early = [each for each in settings.limits if known_at_accept(each.used)]
        late = [each for each in settings.limits if not known_at_accept(each.used)]
        self._at_accept = _Stage(early, zones, variables, held)
        self._at_login = _Stage(late, zones, variables, held)
        self.at_login: ConnLimits | None = self if late else None
        self.refusal_at_login = self._at_login.gate.refusal if not self._at_login.keys else _unknown
        self._settings = settings
        self.asks_at_accept = bool(early)
        self.quick = None if self._at_accept.keys else self._at_accept.gate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConnLimits) and self._settings == other._settings

    def __hash__(self) -> int:
        return hash(self._settings)

    def refusal(self, _client: Address, record: SessionRecord) -> End | None:
        """See `Check.refusal`."""
        return None if self._admits(self._at_accept, record) else End.LIMIT_CONN

    def admits(self, record: SessionLog, /) -> bool:
        """See `mailworker.mail.server.Admission`."""
        return self._admits(self._at_login, record)

    def _admits(self, stage: _Stage, record: SessionLog) -> bool:
        keys = tuple(key(record) for key in stage.keys)
        without = 0
        while (refusal := stage.gate.refusal(record.number, record.client, record.login, keys, without)) is not None:
            place, why = refusal
            limit = stage.limits[place]
            if why != TOO_LONG:
                return self._refuse(why, limit, record)
            text = limit.key_of(record)
            record.error(f'the value of the "{limit.zone.text}" key is more than 255 bytes: "{escape(text)}"')
            without |= 1 << place
        return True

    def _refuse(self, result: int, limit: _Limit, record: SessionLog) -> bool:
        """Log that a limit refuses the client; gives whether it may go on nevertheless."""
        dry_run = self._settings.dry_run
        if result == FULL:
            limit.complain(record)
        text = f'limiting connections{", dry run," if dry_run else ""} by zone "{limit.zone.name}"'
        record.write(self._settings.log_level, text)
        if isinstance(record, FactsRecord):
            record.limit_connections(b"REJECTED_DRY_RUN" if dry_run else b"REJECTED")
        return dry_run
