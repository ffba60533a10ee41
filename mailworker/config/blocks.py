"""The `mail` and `server` blocks, and their merging at the end of `mail` (ngx_mail_block)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailworker.config import (
    access,
    access_log,
    auth_policy,
    limit_auth,
    limit_conn,
    proxy,
    proxy_pass,
    realip,
    source,
    ssl,
    variables,
)
from mailworker.config.access_log import FilesDraft
from mailworker.config.command import NONE, Command
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.listen import AddressesDraft, ListenDraft
from mailworker.config.mail import MailCoreDraft
from mailworker.config.protocol import ProtocolsDraft
from mailworker.config.proxy import ProxySettings
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.rows import frozen, merged
from mailworker.config.server_name import NamesDraft
from mailworker.config.settings import MailServer
from mailworker.config.shared_addresses import check_names, share_tls
from mailworker.config.ssl import SslDraft, SslSettings
from mailworker.config.status import StatusZoneDraft
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError

OnTls = Callable[[SslSettings | None, ProxySslSettings | None, str], None]


@dataclass(slots=True)
class ServersDraft:
    """In the `mail` block, the `server` blocks read so far."""

    scopes: list[Scope] = field(default_factory=list)


@dataclass(slots=True)
class MailBlock:
    """In the main context, the `mail` block, the resulting servers, and where each access log's file is named."""

    met: bool = False
    servers: tuple[MailServer, ...] = ()
    access_logs: Mapping[Path, str | None] = field(default_factory=dict)


def commands(on_tls: OnTls) -> tuple[Command, ...]:
    """The rows; `on_tls` gets the complete TLS settings of each server before its other modules are merged."""
    return (
        Command("mail", Context.MAIN, NONE, lambda parser: _open_mail(parser, on_tls), block=True),
        Command("server", Context.MAIL, NONE, _open_server, block=True),
        *(Command(name, Context.MAIN, NONE, _leave_to_nginx, block=True) for name in ("http", "stream")),
    )


def _leave_to_nginx(parser: Parser) -> None:
    raise parser.error(
        f'"{parser.words[0]}" is not served here',
        ', only "mail" is: leave this block in a file for nginx, and move "mail", with a copy of "events" and what '
        "else it needs, to another file",
    )


def _open_mail(parser: Parser, on_tls: OnTls) -> None:
    block = parser.main.draft(MailBlock)
    if block.met:
        raise parser.error('"mail" directive is duplicate')
    block.met = True
    scope = Scope(Context.MAIL, parser.scope, parser.where or "")
    parser.parse_block(scope)
    block.servers = _freeze(parser, scope, on_tls)
    block.access_logs = scope.draft(FilesDraft).where


def _open_server(parser: Parser) -> None:
    server = Scope(Context.SERVER, parser.scope, parser.where or "")
    parser.scope.draft(ServersDraft).scopes.append(server)
    parser.parse_block(server)
    if server.draft(ListenDraft).listen is UNSET:
        raise ConfigError('no "listen" is defined for server', server.opened_at)


def _freeze(parser: Parser, mail_scope: Scope, on_tls: OnTls) -> tuple[MailServer, ...]:
    """Merge and check module by module, as nginx does: all servers' core, then all TLS, then all auth_http."""
    share_tls(mail_scope)
    servers = [_Server(scope, mail_scope) for scope in mail_scope.draft(ServersDraft).scopes]
    for server in servers:
        server.merge_tls(parser, on_tls)
    settings = tuple(server.freeze(parser) for server in servers)
    check_names(parser, settings)
    return settings


class _Server:
    """A `server` block. Its modules are merged one by one in the order of the methods; each raises ConfigError."""

    __slots__ = ("_core", "_mail_scope", "_protocol", "_proxy", "_scope", "_tls", "_tls_settings")

    _proxy: ProxySettings
    _tls: SslDraft
    _tls_settings: SslSettings | None

    def __init__(self, scope: Scope, mail_scope: Scope) -> None:
        self._scope = scope
        self._mail_scope = mail_scope
        self._core = merged(MailCoreDraft, scope, mail_scope)
        if self._core.protocol is None:
            raise ConfigError("unknown mail protocol for server", scope.opened_at)
        self._protocol = self._core.protocol

    def merge_tls(self, parser: Parser, on_tls: OnTls) -> None:
        """See `commands`."""
        self._tls = merged(SslDraft, self._scope, self._mail_scope)
        self._tls_settings = ssl.freeze(parser, self._tls)
        self._proxy = proxy.freeze(parser, self._scope, self._mail_scope)
        on_tls(self._tls_settings, self._proxy.ssl, self._protocol)

    def freeze(self, parser: Parser) -> MailServer:
        """The server. `error_log` stays empty where it is the main context's, as that may follow after `mail`."""
        scopes = self._scope, self._mail_scope
        core, tls = self._core, self._tls
        names = variables.freeze(*scopes)
        if self._proxy.backend is not None:
            proxy_pass.check(self._proxy.backend, names.bind(), resolves=bool(core.resolver.servers))
        login_source = source.freeze(parser, *scopes, names.bind(), self._proxy.backend)
        real_ip_from, limits = realip.freeze(*scopes), limit_auth.freeze(*scopes, names.bind())
        listens = tuple(
            replace(each, ssl=each.ssl or tls.ssl)
            for each in self._mail_scope.draft(AddressesDraft).listens(self._scope)
        )
        if not real_ip_from and any(listen.proxy_protocol for listen in listens):
            limit_auth.warn_of_balancers(parser, limits, self._scope.opened_at)
        dialogue = parser.main.draft(ProtocolsDraft).known[self._protocol].freeze(parser, *scopes)
        source.check_methods(login_source, self._protocol, dialogue.auth, self._scope.opened_at)
        return frozen(
            MailServer,
            core,
            parser,
            listens=listens,
            server_name=os.fsencode(core.server_name or socket.gethostname().lower()),
            error_log=core.error_log or (),
            resolver=replace(core.resolver, timeout=core.resolver_timeout),
            starttls=tls.starttls,
            ssl=self._tls_settings,
            dialogue=dialogue,
            source=login_source,
            proxy=self._proxy,
            real_ip_from=real_ip_from,
            access=access.freeze(*scopes),
            policy=auth_policy.freeze(
                parser, *scopes, names.bind(), by_backend=isinstance(login_source, source.ByBackendSettings)
            ),
            limit_auth=limits,
            limit_conn=limit_conn.freeze(*scopes, names),
            where=self._scope.opened_at,
            variables=names,
            access_log=access_log.freeze(*scopes, names),
            names=tuple(self._scope.draft(NamesDraft).names),
            status_zone=merged(StatusZoneDraft, self._scope).status_zone,
        )
