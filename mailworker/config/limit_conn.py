"""`limit_conn_zone`, `limit_conn` and their companions (ngx_stream_limit_conn_module, freenginx's for mail)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mailworker.config import values
from mailworker.config.command import ONE, TWO, Command
from mailworker.config.drafts import BOTH, Context, Scope
from mailworker.config.rows import Value, commands, merged, row
from mailworker.config.slots import FLAG, LIMIT_LEVEL, present
from mailworker.config.tree import Parser
from mailworker.config.variables import VariablesSettings
from mailworker.config.zones import KeyedZone, declare_keyed_zone
from mailworker.errors import ConfigError
from mailworker.model import Level

USE: Final = "limit_conn_zone"

MOST: Final = 65535
"""The largest number of connections."""

_MOST_LIMITS: Final = 64  # of a server; native/shm/gate.c has a bit for each


@dataclass(frozen=True, slots=True)
class ConnZone(KeyedZone):
    """`limit_conn_zone`."""

    LIGHT = frozenset({"binary_remote_addr", "remote_addr", "remote_user"})


@dataclass(frozen=True, slots=True)
class ConnLimit:
    """`limit_conn`: at most `most` connections for each key of a zone. `used` are the variables in its key."""

    zone: ConnZone
    most: int
    used: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LimitConnSettings:
    """The connection limits of a server."""

    limits: tuple[ConnLimit, ...] = ()
    log_level: Level = Level.ERROR
    dry_run: bool = False

    @property
    def has_variables(self) -> bool:
        """Whether a key is more than a variable of LIGHT, so that sessions must keep the values of variables."""
        return any(limit.zone.light is None for limit in self.limits)


@dataclass(slots=True)
class ConnZonesDraft:
    """In the `mail` block, the zones by their names."""

    zones: dict[str, ConnZone] = field(default_factory=dict)


def _take_limit(parser: Parser, earlier: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    _, name, word = parser.words
    limits = present(earlier)
    if any(name == known for known, _ in limits):
        raise parser.error('"limit_conn" directive is duplicate')
    if len(limits) == _MOST_LIMITS:
        raise parser.error('too many "limit_conn" directives')
    most = values.number(word)
    if not most:
        raise parser.error(f'invalid number of connections "{word}"')
    if most > MOST:
        raise parser.error("connection limit must be less 65536")
    return (*limits, (name, most))


@dataclass(slots=True)
class LimitConnDraft:
    """A block with a `limit_conn` inherits none."""

    limit_conn: tuple[tuple[str, int], ...] = row(BOTH, TWO, Value(_take_limit), ())
    limit_conn_log_level: Level = row(BOTH, ONE, LIMIT_LEVEL, Level.ERROR)
    limit_conn_dry_run: bool = row(BOTH, ONE, FLAG, False)


def freeze(server: Scope, mail: Scope, variables: VariablesSettings) -> LimitConnSettings:
    """The limits of a server.

    Raises ConfigError for an undeclared zone, without a position, as in nginx, and for unknown variables, also in
    unused zones.
    """
    draft, zones = merged(LimitConnDraft, server, mail), mail.draft(ConnZonesDraft).zones
    used = {name: variables.bind().used_by(zone.key) for name, zone in zones.items()}
    unknown = next((name for name, _ in draft.limit_conn if name not in zones), None)
    if unknown is not None:
        raise ConfigError(f'zero size shared memory zone "{unknown}"')
    limits = tuple(ConnLimit(zones[name], most, used[name]) for name, most in draft.limit_conn)
    return LimitConnSettings(limits, draft.limit_conn_log_level, draft.limit_conn_dry_run)


def _declare(parser: Parser) -> None:
    declare_keyed_zone(parser, parser.scope.draft(ConnZonesDraft).zones, ConnZone)


COMMANDS: Final = (Command(USE, Context.MAIL, TWO, _declare), *commands(LimitConnDraft))
