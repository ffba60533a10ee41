"""Checks of servers that share an address (ngx_http_server_names)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mailworker.config.drafts import UNSET, Scope
from mailworker.config.listen import AddressesDraft, Endpoint, Listen, plan_sockets
from mailworker.config.rows import merged
from mailworker.config.server_name import Added, NameTable, ServerName
from mailworker.config.settings import MailServer
from mailworker.config.ssl import SslDraft
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError
from mailworker.model import Starttls

_NAMELESS: Final = (ServerName(b""),)


def share_tls(mail: Scope) -> None:
    """Enable TLS in all servers on an address if one of them enables it."""
    for address in mail.draft(AddressesDraft).shared.values():
        if len(address.servers) == 1:
            continue
        if any(merged(SslDraft, server, mail).ssl for server in address.servers):
            address.listen = replace(address.listen, ssl=True)
        if address.listen.ssl:
            for server in address.servers:
                _ask_for_tls(server)


def _ask_for_tls(server: Scope) -> None:
    draft = server.draft(SslDraft)
    if draft.listen is UNSET:
        draft.listen, draft.asked_at = True, server.opened_at


def check_names(parser: Parser, servers: Sequence[MailServer]) -> None:
    """Warn of servers and names without effect. Raises ConfigError."""
    for endpoints in plan_sockets(server.listens for server in servers):
        for endpoint in (*endpoints[1:], endpoints[0]):
            if endpoint.servers:
                _check(parser, endpoint, [servers[number] for number in endpoint.servers])
                _check_default(parser, endpoint.listen, servers[endpoint.server])


def _check_default(parser: Parser, listen: Listen, default: MailServer) -> None:
    if not listen.ssl and default.starttls is Starttls.OFF:
        address = listen.address
        parser.warn_without_position(
            f"only the default server is used on {address}, as clients name a server by TLS alone"
        )


def _check(parser: Parser, endpoint: Endpoint, servers: Sequence[MailServer]) -> None:
    address, tables = endpoint.listen.address, dict[str, NameTable[MailServer]]()
    for server in servers:
        if server.protocol != servers[0].protocol and not endpoint.listen.ssl:
            reason = f'servers of several protocols share {address}, which clients tell apart on "listen ... ssl" alone'
            raise ConfigError(reason, server.where)
        table = tables.setdefault(server.protocol, NameTable())
        for name in server.names or _NAMELESS:
            match table.add(name, server):
                case Added.INVALID:
                    raise ConfigError(f'invalid server name or wildcard "{name}" on {address}')
                case Added.CONFLICT:
                    parser.warn_without_position(f'conflicting server name "{name}" on {address}, ignored')
