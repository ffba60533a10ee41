"""The `events` block (ngx_events_module, ngx_event_core_module)."""

from __future__ import annotations

import selectors
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from mailworker.config import slots, values
from mailworker.config.command import NONE, ONE, Command
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.networks import Network, networks
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EventsSettings:
    """Directives of the `events` block. `use` is the method's name, None for the best one."""

    worker_connections: int
    use: str | None
    multi_accept: bool
    accept_mutex: bool
    accept_mutex_delay: float
    debug_connection: tuple[IPv4Network | IPv6Network | str, ...]


# The one that workers use. nginx too is built without `poll` and `select` where there is a better one.
_BEST: Final = selectors.DefaultSelector.__name__.removesuffix("Selector").lower()
METHOD: Final = {"devpoll": "/dev/poll"}.get(_BEST, _BEST)


@dataclass(slots=True)
class EventsDraft:
    """What the block holds; `use` None is `METHOD`, the only one that it may name.

    The last two have no meaning for a mail proxy.
    """

    worker_connections: int = UNSET
    use: str | None = UNSET
    multi_accept: bool = UNSET
    accept_mutex: bool = UNSET
    accept_mutex_delay: float = UNSET
    debug_connection: tuple[Network, ...] = UNSET
    worker_aio_requests: int = UNSET
    epoll_events: int = UNSET


DEFAULTS: Final = EventsDraft(
    worker_connections=512,
    use=None,
    multi_accept=False,
    accept_mutex=False,
    accept_mutex_delay=0.5,
    debug_connection=(),
    worker_aio_requests=32,
    epoll_events=512,
)


@dataclass(slots=True)
class EventsBlock:
    """Stands in the main context; `scope` None until the block was met."""

    scope: Scope | None = None


def freeze(parser: Parser, listening: int) -> EventsSettings:
    """The block's settings; `listening` is the number of sockets that will listen. Raises ConfigError."""
    scope = parser.main.draft(EventsBlock).scope
    if scope is None:
        raise ConfigError('no "events" section in configuration')
    draft = merged(DEFAULTS, scope)
    if draft.worker_connections < listening + 1:
        raise ConfigError(
            f"{draft.worker_connections} worker_connections are not enough for {listening} listening sockets"
        )
    return EventsSettings(
        worker_connections=draft.worker_connections,
        use=draft.use,
        multi_accept=draft.multi_accept,
        accept_mutex=draft.accept_mutex,
        accept_mutex_delay=draft.accept_mutex_delay,
        debug_connection=draft.debug_connection,
    )


def _open_events(parser: Parser) -> None:
    block = parser.main.draft(EventsBlock)
    if block.scope is not None:
        raise parser.error('"events" directive is duplicate')
    block.scope = Scope(Context.EVENTS, parser.scope, parser.where or "")
    parser.parse_block(block.scope)


def _set_worker_connections(parser: Parser) -> None:
    slots.claim(parser, EventsDraft)
    count = values.number(parser.words[1])
    if count is None:
        raise parser.error(f'invalid number "{parser.words[1]}"')
    parser.scope.draft(EventsDraft).worker_connections = count


def _set_use(parser: Parser) -> None:
    slots.claim(parser, EventsDraft)
    name = parser.words[1]
    if name != METHOD:
        raise parser.error(f'invalid event type "{name}"')
    parser.scope.draft(EventsDraft).use = name


COMMANDS: Final = (
    Command("events", Context.MAIN, NONE, _open_events, block=True),
    Command("worker_connections", Context.EVENTS, ONE, _set_worker_connections),
    Command("use", Context.EVENTS, ONE, _set_use),
    Command("multi_accept", Context.EVENTS, ONE, slots.flag(EventsDraft)),
    Command("accept_mutex", Context.EVENTS, ONE, slots.flag(EventsDraft)),
    Command("accept_mutex_delay", Context.EVENTS, ONE, slots.milliseconds(EventsDraft)),
    Command("debug_connection", Context.EVENTS, ONE, networks(EventsDraft)),
    Command("worker_aio_requests", Context.EVENTS, ONE, slots.number(EventsDraft, values.ANY)),
    Command("epoll_events", Context.EVENTS, ONE, slots.number(EventsDraft, values.ANY)),
)
