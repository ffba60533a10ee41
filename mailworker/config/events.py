"""The `events` block (ngx_events_module, ngx_event_core_module)."""

from __future__ import annotations

import selectors
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from mailworker.config import values
from mailworker.config.command import ONE, only_block
from mailworker.config.drafts import Context
from mailworker.config.networks import NETWORKS, Network
from mailworker.config.rows import Value, commands, frozen, merged, row
from mailworker.config.slots import FLAG, MILLISECONDS, number, once
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EventsSettings:
    """The directives of the `events` block. `use` is the name of the event method, None for the best one."""

    worker_connections: int
    use: str | None
    multi_accept: bool
    accept_mutex: bool
    accept_mutex_delay: float
    debug_connection: tuple[IPv4Network | IPv6Network | str, ...]


# The event method of workers. nginx, too, is built without `poll` and `select` if there is a better one.
_BEST: Final = selectors.DefaultSelector.__name__.removesuffix("Selector").lower()
METHOD: Final = {"devpoll": "/dev/poll"}.get(_BEST, _BEST)


def _read_connections(parser: Parser) -> int:
    count = values.number(parser.words[1])
    if count is None:
        raise parser.error(f'invalid number "{parser.words[1]}"')
    return count


def _read_method(parser: Parser) -> str:
    name = parser.words[1]
    if name != METHOD:
        raise parser.error(f'invalid event type "{name}"')
    return name


@dataclass(slots=True)
class EventsDraft:
    """The contents of the block; `use` None is `METHOD`, which is the only value.

    The last two directives have no effect in a mail proxy.
    """

    worker_connections: int = row(Context.EVENTS, ONE, Value(once(_read_connections)), 512)
    use: str | None = row(Context.EVENTS, ONE, Value(once(_read_method)), None, spelled=METHOD)
    multi_accept: bool = row(Context.EVENTS, ONE, FLAG, False)
    accept_mutex: bool = row(Context.EVENTS, ONE, FLAG, False)
    accept_mutex_delay: float = row(Context.EVENTS, ONE, MILLISECONDS, 0.5)
    debug_connection: tuple[Network, ...] = row(Context.EVENTS, ONE, NETWORKS, ())
    worker_aio_requests: int = row(Context.EVENTS, ONE, number(values.ANY), 32, into=None)
    epoll_events: int = row(Context.EVENTS, ONE, number(values.ANY), 512, into=None)


def freeze(parser: Parser, listening: int) -> EventsSettings:
    """The block's settings; `listening` is the number of sockets that will listen. Raises ConfigError."""
    scope = parser.blocks.get(Context.EVENTS)
    if scope is None:
        raise ConfigError('no "events" section in configuration')
    draft = merged(EventsDraft, scope)
    if draft.worker_connections < listening + 1:
        raise ConfigError(
            f"{draft.worker_connections} worker_connections are not enough for {listening} listening sockets"
        )
    return frozen(EventsSettings, draft, parser)


COMMANDS: Final = (only_block(Context.EVENTS), *commands(EventsDraft))
