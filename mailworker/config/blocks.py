"""The `mail` and `server` blocks, and their merging at the end of `mail` (ngx_mail_block)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

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
from mailworker.config.command import NONE, Command, only_block
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.listen import AddressesDraft, ListenDraft
from mailworker.config.mail import MailCoreDraft
from mailworker.config.protocol import ProtocolsDraft
from mailworker.config.proxy import ProxySettings
from mailworker.config.proxy_pass import ProxyPass
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.resolver import ResolverSettings
from mailworker.config.rows import frozen, merged
from mailworker.config.server_name import NamesDraft
from mailworker.config.settings import MailServer
from mailworker.config.shared_addresses import check_names, share_tls
from mailworker.config.ssl import SslDraft, SslSettings
from mailworker.config.status import StatusZoneDraft
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError
from mailworker.model import Starttls

OnTls = Callable[[SslSettings | None, ProxySslSettings | None, str], None]


@dataclass(slots=True)
class ServersDraft:
    """In the `mail` block, the `server` blocks read so far."""

    scopes: list[Scope] = field(default_factory=list)


@dataclass(slots=True)
class MailBlock:
    """In the main context, the servers of the `mail` block, and the position of each access log's file."""

    servers: tuple[MailServer, ...] = ()
    access_logs: Mapping[Path, str | None] = field(default_factory=dict)


def commands(on_tls: OnTls) -> tuple[Command, ...]:
    """The rows; `on_tls` is called with the TLS settings of each server before its other modules are merged."""
    return (
        only_block(Context.MAIL, lambda parser, scope: _read_mail(parser, scope, on_tls)),
        Command("server", Context.MAIL, NONE, _open_server, block=True),
        *(Command(name, Context.MAIN, NONE, _refuse_block, block=True) for name in ("http", "stream")),
    )


def _refuse_block(parser: Parser) -> None:
    raise parser.error(
        f'"{parser.words[0]}" is not served here',
        ', only "mail" is: leave this block in a file for nginx, and move "mail", with a copy of "events" and what '
        "else it needs, to another file",
    )


def _read_mail(parser: Parser, scope: Scope, on_tls: OnTls) -> None:
    parser.parse_block(scope)
    block = parser.main.draft(MailBlock)
    block.servers = _freeze(parser, scope, on_tls)
    block.access_logs = scope.draft(FilesDraft).where
    scope.clear()  # the drafts of the block and the scopes of its servers refer to each other
    check_names(parser, block.servers)


def _open_server(parser: Parser) -> None:
    server = Scope(Context.SERVER, parser.scope, parser.where or "")
    parser.scope.draft(ServersDraft).scopes.append(server)
    parser.parse_block(server)
    if server.draft(ListenDraft).listen is UNSET:
        raise ConfigError('no "listen" is defined for server', server.opened_at)


def _freeze(parser: Parser, mail_scope: Scope, on_tls: OnTls) -> tuple[MailServer, ...]:
    """Merge and check module by module, as nginx does: all servers' core, then all TLS, then all auth_http."""
    share_tls(mail_scope)
    shared = _Shared()
    servers = [_Server(scope, mail_scope, shared) for scope in mail_scope.draft(ServersDraft).scopes]
    for server in servers:
        server.merge_tls(parser, on_tls)
    return tuple(server.freeze(parser) for server in servers)


_OWN: Final = frozenset({MailCoreDraft, ListenDraft, NamesDraft, SslDraft, StatusZoneDraft})
"""The drafts of a `server` block that its other modules do not depend on."""


@dataclass(slots=True)
class _Shared:
    """Objects that servers share: the modules of those that inherit all of them, and equal TLS settings."""

    modules: dict[tuple[str, bool], _Modules] = field(default_factory=dict)
    tls: dict[SslSettings | None, SslSettings | None] = field(default_factory=dict)


class _Server:
    """A `server` block. Its modules are merged one by one in the order of the methods; each raises ConfigError."""

    __slots__ = ("_core", "_mail_scope", "_modules", "_protocol", "_scope", "_shared", "_ssl", "_ssl_on", "_starttls")

    _ssl: SslSettings | None
    _ssl_on: bool
    _starttls: Starttls

    def __init__(self, scope: Scope, mail_scope: Scope, shared: _Shared) -> None:
        self._shared = shared
        self._scope = scope
        self._mail_scope = mail_scope
        self._core = core = merged(MailCoreDraft, scope, mail_scope)
        if core.protocol is None:
            raise ConfigError("unknown mail protocol for server", scope.opened_at)
        self._protocol = core.protocol
        modules = _Modules(scope, mail_scope, core.protocol, resolves=bool(core.resolver.servers))
        inherits = scope.kinds <= _OWN
        key = modules.protocol, modules.resolves
        self._modules = shared.modules.setdefault(key, modules) if inherits else modules

    def merge_tls(self, parser: Parser, on_tls: OnTls) -> None:
        """See `commands`."""
        draft = merged(SslDraft, self._scope, self._mail_scope)
        self._ssl_on, self._starttls = draft.ssl, draft.starttls
        settings = ssl.freeze(parser, draft)
        self._ssl = self._shared.tls.setdefault(settings, settings)
        on_tls(self._ssl, self._modules.proxy(parser).ssl, self._protocol)

    def freeze(self, parser: Parser) -> MailServer:
        """The server. If it inherits the main `error_log`, that stays empty, as it may come after `mail`."""
        core, where = self._core, self._scope.opened_at
        inherited = self._modules.freeze(parser)
        listens = tuple(
            replace(each, ssl=True) if self._ssl_on and not each.ssl else each
            for each in self._mail_scope.draft(AddressesDraft).listens(self._scope)
        )
        if not inherited["real_ip_from"] and any(listen.proxy_protocol for listen in listens):
            limit_auth.warn_of_balancers(parser, inherited["limit_auth"], where)
        return frozen(
            MailServer,
            core,
            parser,
            listens=listens,
            server_name=os.fsencode(core.server_name or socket.gethostname().lower()),
            error_log=core.error_log or (),
            resolver=_with_timeout(core.resolver, core.resolver_timeout),
            starttls=self._starttls,
            ssl=self._ssl,
            proxy=self._modules.proxy(parser),
            where=where,
            names=tuple(self._scope.draft(NamesDraft).names) if self._scope.has(NamesDraft) else (),
            status_zone=merged(StatusZoneDraft, self._scope).status_zone,
            **inherited,
        )


def _with_timeout(resolver: ResolverSettings, timeout: float) -> ResolverSettings:
    return resolver if resolver.timeout == timeout else replace(resolver, timeout=timeout)


class _Modules:
    """The modules of a `server` block except its core and its TLS. Each method always returns the same objects.

    `resolves`: backends may have names, as there is a `resolver`.
    """

    __slots__ = ("_frozen", "_mail", "_proxy", "_server", "protocol", "resolves")

    def __init__(self, server: Scope, mail: Scope, protocol: str, *, resolves: bool) -> None:
        self._server = server
        self._mail = mail
        self._proxy: ProxySettings | None = None
        self._frozen: Mapping[str, Any] | None = None
        self.protocol = protocol
        self.resolves = resolves

    def proxy(self, parser: Parser) -> ProxySettings:
        """The settings of the proxy module; raises ConfigError."""
        if self._proxy is None:
            self._proxy = proxy.freeze(parser, self._server, self._mail)
        return self._proxy

    def freeze(self, parser: Parser) -> Mapping[str, Any]:
        """The settings of all modules but the proxy, as fields of MailServer; raises ConfigError."""
        if self._frozen is None:
            self._frozen = self._freeze(parser, self.proxy(parser).backend)
        return self._frozen

    def _freeze(self, parser: Parser, backend: ProxyPass | None) -> Mapping[str, Any]:
        scopes = self._server, self._mail
        names = variables.freeze(*scopes)
        if backend is not None:
            proxy_pass.check(backend, names.bind(), resolves=self.resolves)
        login_source = source.freeze(parser, *scopes, names.bind(), backend)
        real_ip_from, limits = realip.freeze(*scopes), limit_auth.freeze(*scopes, names.bind())
        dialogue = parser.main.draft(ProtocolsDraft).known[self.protocol].freeze(parser, *scopes)
        source.check_methods(login_source, self.protocol, dialogue.auth, self._server.opened_at)
        by_backend = isinstance(login_source, source.ByBackendSettings)
        return {
            "dialogue": dialogue,
            "source": login_source,
            "real_ip_from": real_ip_from,
            "access": access.freeze(*scopes),
            "policy": auth_policy.freeze(parser, *scopes, names.bind(), by_backend=by_backend),
            "limit_auth": limits,
            "limit_conn": limit_conn.freeze(*scopes, names),
            "variables": names,
            "access_log": access_log.freeze(*scopes, names),
        }
