"""How many connections there may be by keys of `limit_conn`: those of each server, counted by all workers together."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Final

from mailworker.config.limit_conn import ConnLimit, LimitConnSettings
from mailworker.errors import escape
from mailworker.mail.end import End
from mailworker.mail.facts import FactsRecord, SessionFacts
from mailworker.mail.record import SessionRecord
from mailworker.model import Address, Level
from mailworker.shm.conn_table import FULL, ConnTable
from mailworker.variables.variables import Variables

Key = Callable[[SessionRecord], bytes]
"""What a session is counted by; nothing where it is not counted."""

_LONGEST_KEY: Final = 255  # bytes; with a longer one a session is not counted (nginx)
_UNIX: Final = "unix:"
# Seconds in which a worker tells once that a zone is full.
_TELL_AGAIN: Final = 10.0


def _packed(record: SessionRecord) -> bytes:
    client = record.client
    if client == _UNIX:
        return client.encode()
    return socket.inet_pton(socket.AF_INET6 if ":" in client else socket.AF_INET, client)


_LIGHT: Final[Mapping[str, Key]] = {
    "binary_remote_addr": _packed,
    "remote_addr": lambda record: record.client.encode(),
    "remote_user": lambda record: record.login,
}

_AT_ACCEPT: Final = frozenset({
    *("binary_remote_addr", "remote_addr", "remote_port", "realip_remote_addr", "realip_remote_port"),
    *("hostname", "nginx_version", "mailworker_version", "pid", "protocol", "server_addr", "server_port", "connection"),
    *("proxy_protocol_addr", "proxy_protocol_port", "proxy_protocol_server_addr", "proxy_protocol_server_port"),
})  # fmt: skip


class Held:
    """What the sessions of a worker are counted by: tables, and places in their journals."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: dict[SessionRecord, tuple[tuple[ConnTable, int], ...]] = {}

    def end(self, record: SessionRecord) -> None:
        """A session has ended."""
        for table, place in self.places.pop(record, ()):
            table.let_go(place)


class _Limit:
    __slots__ = ("key", "most", "name", "spelled", "table", "told")

    def __init__(self, limit: ConnLimit, table: ConnTable, variables: Variables) -> None:
        self.key = _key(limit, variables)
        self.most = limit.most
        self.name = limit.zone.name
        self.spelled = limit.zone.text
        self.table = table
        self.told = -_TELL_AGAIN


def _key(limit: ConnLimit, variables: Variables) -> Key:
    light = limit.zone.light
    if light is not None:
        return _LIGHT[light]
    render = variables.bind(limit.zone.key)

    def read(record: SessionRecord) -> bytes:
        assert isinstance(record, SessionFacts)
        return render(record)

    return read


class ConnLimits:
    """Those of one server. What is known at accept is limited there, and the rest when a login is right."""

    __slots__ = ("_at_accept", "_at_login", "_held", "_settings")

    def __init__(
        self, settings: LimitConnSettings, tables: Mapping[str, ConnTable], variables: Variables, held: Held
    ) -> None:
        """`tables` are there for all zones, by their names."""
        limits = [(each, _Limit(each, tables[each.zone.name], variables)) for each in settings.limits]
        self._at_accept = tuple(limit for each, limit in limits if each.asked <= _AT_ACCEPT)
        self._at_login = tuple(limit for each, limit in limits if not each.asked <= _AT_ACCEPT)
        self._held = held
        self._settings = settings

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConnLimits) and self._settings == other._settings

    def __hash__(self) -> int:
        return hash(self._settings)

    @property
    def asks_at_accept(self) -> bool:
        return bool(self._at_accept)

    def refusal(self, _client: Address, record: SessionRecord) -> End | None:
        """See `Check.refusal`."""
        return None if self._admits(record, self._at_accept) else End.LIMIT_CONN

    def admits(self, record: SessionRecord) -> bool:
        """Whether a client that is who it claims to be may be logged in, as one more."""
        return self._admits(record, self._at_login)

    def _admits(self, record: SessionRecord, limits: tuple[_Limit, ...]) -> bool:
        places = self._held.places
        before = places.get(record, ())
        taken = before
        for limit in limits:
            key = limit.key(record)
            if not key or (len(key) > _LONGEST_KEY and self._leaves_out(key, limit, record)):
                continue
            if before and any(table is limit.table for table, _ in before):
                continue
            place = limit.table.hold(key, limit.most)
            if place < 0:
                for table, held in taken[len(before) :]:
                    table.let_go(held)
                return self._refuse(place, limit, record)
            taken = (*taken, (limit.table, place))
        if taken is not before:
            places[record] = taken
        return True

    def _refuse(self, result: int, limit: _Limit, record: SessionRecord) -> bool:
        """Give whether the client may go on all the same."""
        dry_run = self._settings.dry_run
        if result == FULL:
            self._complain(limit, record)
        record.write(
            self._settings.log_level, f'limiting connections{", dry run," if dry_run else ""} by zone "{limit.name}"'
        )
        if isinstance(record, FactsRecord):
            record.limit_connections(b"REJECTED_DRY_RUN" if dry_run else b"REJECTED")
        return dry_run

    def _complain(self, limit: _Limit, record: SessionRecord) -> None:
        now = record.entrance.sessions.loop.now
        if now - limit.told >= _TELL_AGAIN:
            limit.told = now
            record.write(Level.ALERT, f'limit_conn_zone "{limit.name}" is full')

    @staticmethod
    def _leaves_out(key: bytes, limit: _Limit, record: SessionRecord) -> bool:
        record.error(f'the value of the "{limit.spelled}" key is more than 255 bytes: "{escape(key)}"')
        return True
