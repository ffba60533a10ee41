"""`limit_auth`, which limits logins as limit_req limits HTTP requests, and `auth_delay`, which delays refusals.

Values and errors are those of ngx_http_limit_req_module, except for rates per hour and what only logins have.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Final

from mailworker.config import values
from mailworker.config.command import ONE, ONE_OR_MORE, TWO, Arity, Command
from mailworker.config.drafts import BOTH, Context, Scope
from mailworker.config.networks import Network, read_network
from mailworker.config.rows import Value, commands, merged, row
from mailworker.config.slots import FLAG, LIMIT_LEVEL, once, present, repeated
from mailworker.config.tree import Parser
from mailworker.config.zones import KeyedZone, declare_keyed_zone
from mailworker.errors import ConfigError
from mailworker.model import Level
from mailworker.variables.variables import Variables

USE: Final = "limit_auth_zone"

REQUEST: Final = 1000
"""One attempt: bursts, delays and rates are in thousandths."""

MOST: Final = 4000
"""The largest burst."""


@dataclass(frozen=True, slots=True)
class LimitZone(KeyedZone):
    """`limit_auth_zone`; the excess falls by `gain` in `period` ms."""

    LIGHT = frozenset({"binary_remote_addr", "binary_remote_prefix", "remote_addr", "remote_user"})

    gain: int
    period: int


@dataclass(frozen=True, slots=True)
class LimitAuth:
    """`limit_auth`: `burst` and `delay` are in thousandths; `delay` None is `nodelay`. `ban` is in seconds, 0 for none.

    `counts_all`: successful logins count as well.
    """

    zone: LimitZone
    burst: int = 0
    delay: int | None = 0
    counts_all: bool = False
    ban: float = 0.0


@dataclass(frozen=True, slots=True)
class AuthDelay:
    """`auth_delay`: the delay of refusals in seconds; with a zone, later attempts are delayed as well, up to `most`."""

    seconds: float
    most: float
    zone: LimitZone | None = None


@dataclass(frozen=True, slots=True)
class LimitAuthSettings:
    """The limits of a server. `prefix` are the prefix lengths of keys, of IPv4 and IPv6."""

    limits: tuple[LimitAuth, ...] = ()
    exempt: tuple[Network, ...] = ()
    dry_run: bool = False
    log_level: Level = Level.ERROR
    delay: AuthDelay | None = None
    prefix: tuple[int, int] = (32, 64)

    @property
    def guards(self) -> bool:
        """Whether there are any limits or delays."""
        return bool(self.limits) or self.delay is not None

    @property
    def zones(self) -> tuple[LimitZone, ...]:
        """The zones that the server counts in, each once."""
        delay = () if self.delay is None or self.delay.zone is None else (self.delay.zone,)
        return tuple(dict.fromkeys((*(limit.zone for limit in self.limits), *delay)))


@dataclass(slots=True)
class LimitZonesDraft:
    """In the `mail` block, the zones by their names."""

    zones: dict[str, LimitZone] = field(default_factory=dict)


_Limit = tuple[str, Callable[[LimitZone], LimitAuth]]
"""A `limit_auth`, and before it the name of its zone, which may be declared further below."""

_Delay = tuple[str | None, AuthDelay]
"""An `auth_delay` without its zone, and before it the name of that, None for none."""


_RATE: Final = re.compile(r"rate=([0-9]+)(r/[smh])?")


def _declare(parser: Parser) -> None:
    gain, period = REQUEST, REQUEST
    for word in parser.words[2:]:
        if word.startswith("rate="):
            gain, period = _read_rate(parser, word)
    make = partial(LimitZone, gain=gain, period=period)
    declare_keyed_zone(parser, parser.scope.draft(LimitZonesDraft).zones, make, "rate=")


def _read_rate(parser: Parser, word: str) -> tuple[int, int]:
    """Gain and period of a rate. As in nginx, 1r/m is 16 thousandths a second; rates per hour are exact."""
    match = _RATE.fullmatch(word)
    number = None if match is None else values.number(match[1])
    if match is None or not number or number > _FASTEST:
        raise parser.error(f'invalid rate "{word}"')
    if match[2] == "r/h":
        return number, 3600
    return number * REQUEST // (60 if match[2] == "r/m" else 1), REQUEST


_FASTEST: Final = 1_000_000  # a second


def _read_limit(parser: Parser) -> _Limit:
    zone, burst, delay, counts_all, ban = "", 0, 0, False, 0.0
    for word in parser.words[1:]:
        name, equals, value = word.partition("=")
        if name == "zone" and equals:
            zone = value
        elif name == "burst" and equals:
            burst = _read_number(parser, word, value) * REQUEST
        elif name == "delay" and equals:
            delay = _read_number(parser, word, value) * REQUEST
        elif word == "nodelay":
            delay = -1
        elif word in ("count=failure", "count=all"):
            counts_all = word == "count=all"
        elif name == "ban" and equals:
            ban = _read_time(parser, word, value)
        else:
            raise parser.error(f'invalid parameter "{word}"')
    if not zone:
        raise parser.error(f'"{parser.words[0]}" must have "zone" parameter')
    delayed = None if delay < 0 else delay
    return zone, partial(LimitAuth, burst=burst, delay=delayed, counts_all=counts_all, ban=ban)


def _read_number(parser: Parser, word: str, text: str) -> int:
    number = values.number(text)
    if not number or number > MOST:
        bounds = f", it must be between 1 and {MOST}" if number else ""
        raise parser.error(f'invalid {word.partition("=")[0]} value "{word}"{bounds}')
    return number


def _read_time(parser: Parser, word: str, text: str) -> float:
    seconds = values.milliseconds(text)
    if not seconds:
        raise parser.error(f'invalid parameter "{word}"')
    return seconds


def _take_limit(parser: Parser, earlier: tuple[_Limit, ...]) -> tuple[_Limit, ...]:
    limit = _read_limit(parser)
    if any(limit[0] == zone for zone, _ in present(earlier)):
        raise parser.error(f'"{parser.words[0]}" directive is duplicate')
    return (*present(earlier), limit)


def _read_delay(parser: Parser) -> _Delay:
    directive, first, *parameters = parser.words
    seconds = values.milliseconds(first)
    if seconds is None:
        raise parser.error(f'"{directive}" directive invalid value')
    most, zone = inf, None
    for word in parameters:
        name, equals, value = word.partition("=")
        if name == "max" and equals:
            most = _read_time(parser, word, value)
        elif name == "zone" and value:
            zone = value
        else:
            raise parser.error(f'invalid parameter "{word}"')
    if most < seconds:
        raise parser.error(f'"max" is less than the delay in "{directive}"')
    if most < inf and zone is None:
        raise parser.error(f'"max" needs "zone" in "{directive}"')
    return zone, AuthDelay(seconds, most)


def _read_exempt(parser: Parser) -> tuple[Network, ...]:
    return tuple(read_network(parser, word) for word in parser.words[1:])


def _read_prefix(parser: Parser) -> tuple[int, int]:
    directive, *words = parser.words
    lengths = tuple(map(values.number, words))
    for length, most in zip(lengths, (32, 128), strict=True):
        if length is None or not 1 <= length <= most:
            raise parser.error(f'"{directive}" directive invalid value')
    return lengths  # type: ignore[return-value]


_UP_TO_THREE: Final = Arity(1, 3)


@dataclass(slots=True)
class LimitAuthDraft:
    """A block with a list inherits no list."""

    limit_auth: tuple[_Limit, ...] = row(BOTH, ONE_OR_MORE, Value(_take_limit), ())
    limit_auth_exempt: tuple[Network, ...] = row(BOTH, ONE_OR_MORE, Value(repeated(_read_exempt)), ())
    limit_auth_dry_run: bool = row(BOTH, ONE, FLAG, False)
    limit_auth_log_level: Level = row(BOTH, ONE, LIMIT_LEVEL, Level.ERROR)
    auth_delay: _Delay = row(BOTH, _UP_TO_THREE, Value(once(_read_delay)), (None, AuthDelay(0.0, inf)), spelled="0")


@dataclass(slots=True)
class LimitPrefixDraft:
    """The prefix lengths of keys."""

    limit_prefix: tuple[int, int] = row(Context.MAIL, TWO, Value(once(_read_prefix)), (32, 64), spelled="32 64")


COMMANDS: Final = (
    Command(USE, Context.MAIL, Arity(2, 3), _declare),
    *commands(LimitAuthDraft),
    *commands(LimitPrefixDraft),
)


OF_CLIENT: Final = frozenset({"remote_addr", "binary_remote_addr", "binary_remote_prefix", "remote_prefix"})
"""Variables with the client's address."""


def warn_of_balancers(parser: Parser, settings: LimitAuthSettings, where: str) -> None:
    """Warn of a server that gets PROXY headers and trusts no peer: all its clients have the balancer's address."""
    if any(name in OF_CLIENT for zone in settings.zones for name in zone.key.names):
        parser.warn_once('"limit_auth" counts all clients behind a balancer as one without "set_real_ip_from"', where)


def freeze(server: Scope, mail: Scope, variables: Variables) -> LimitAuthSettings:
    """The limits of a server.

    Raises ConfigError for a zone that is not declared, and for unknown variables, also in unused zones.
    """
    draft, zones = merged(LimitAuthDraft, server, mail), mail.draft(LimitZonesDraft).zones
    for each in zones.values():
        variables.check(each.key)

    def zone(name: str) -> LimitZone:
        found = zones.get(name)
        if found is None:
            raise ConfigError(f'zero size shared memory zone "{name}"', server.opened_at)
        return found

    name, delay = draft.auth_delay
    return LimitAuthSettings(
        tuple(limit(zone(name)) for name, limit in draft.limit_auth),
        draft.limit_auth_exempt,
        draft.limit_auth_dry_run,
        draft.limit_auth_log_level,
        replace(delay, zone=None if name is None else zone(name)) if delay.seconds else None,
        merged(LimitPrefixDraft, mail).limit_prefix,
    )
