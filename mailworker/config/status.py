"""The `status` block; its `listen` is that of nginx's http, `status_zone` that of Angie."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailworker.config import access
from mailworker.config.access import Rule
from mailworker.config.command import ONE, ONE_OR_MORE, only_block, served_block
from mailworker.config.drafts import Context
from mailworker.config.listen import Listen, listen_url
from mailworker.config.rows import Value, commands, merged, row
from mailworker.config.slots import STRING, present
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError
from mailworker.model import Address, InetAddress

DEFAULT_LISTEN: Final = InetAddress("127.0.0.1", 9143)
# Where the host has no IPv4.
_WITHOUT_IPV4: Final = InetAddress("::1", 9143)


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """The addresses of the status process, the accepted host names, in lower case, and the access rules."""

    listens: tuple[Listen, ...]
    names: tuple[str, ...]
    rules: tuple[Rule, ...]


def _take_listen(parser: Parser, earlier: tuple[Listen, ...]) -> tuple[Listen, ...]:
    listens = present(earlier)
    for address in listen_url(parser).addresses:
        if any(listen.address == address for listen in listens):
            raise parser.error(f'duplicate "{address}" address and port pair')
        listens = (*listens, Listen(address))
    return listens


def _take_names(parser: Parser, earlier: tuple[str, ...]) -> tuple[str, ...]:
    return (*present(earlier), *(word.lower() for word in parser.words[1:]))


@dataclass(slots=True)
class StatusDraft:
    """The contents of the block, except its rules; the default `server_name` is the host name."""

    listen: tuple[Listen, ...] = row(Context.STATUS, ONE, Value(_take_listen), (), spelled=str(DEFAULT_LISTEN))
    server_name: tuple[str, ...] = row(Context.STATUS, ONE_OR_MORE, Value(_take_names), ())


_ZONE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def _take_zone(parser: Parser, earlier: str) -> str:
    name = STRING.take(parser, earlier)
    if _ZONE.fullmatch(name) is None:
        raise parser.error(f'invalid status zone "{name}"')
    return name


@dataclass(slots=True)
class StatusZoneDraft:
    """The label of a server's counters; None is its first `listen`."""

    status_zone: str | None = row(Context.SERVER, ONE, Value(_take_zone), None)


def _default_listen() -> InetAddress:
    """Loopback's address, of IPv6 only if there is none of IPv4."""
    try:
        with socket.socket(socket.AF_INET) as probe:
            probe.bind((DEFAULT_LISTEN.host, 0))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return _WITHOUT_IPV4
    return DEFAULT_LISTEN


def freeze(parser: Parser, taken: Iterable[Address], *, master: bool) -> StatusSettings | None:
    """The block's settings; `taken` are the addresses of mail servers. Raises ConfigError."""
    scope = served_block(parser, Context.STATUS, master=master)
    if scope is None:
        return None
    draft = merged(StatusDraft, scope)
    listens = draft.listen or (Listen(_default_listen()),)
    for listen in listens:
        if listen.address in taken:
            raise ConfigError(f'duplicate "{listen.address}" address and port pair', scope.opened_at)
    names = draft.server_name or (socket.gethostname().lower(),)
    return StatusSettings(listens, names, access.freeze(scope))


COMMANDS: Final = (only_block(Context.STATUS), *commands(StatusDraft), *commands(StatusZoneDraft))
