"""The `mail` and `server` blocks, and what becomes of them at the end of `mail` (ngx_mail_block)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mailworker.config import auth_http, imap, mail, pop3, proxy, realip, smtp, ssl
from mailworker.config.command import NONE, Command
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.listen import ListenDraft
from mailworker.config.merge import merged
from mailworker.config.settings import DialogueSettings, MailServer, Protocol
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError

OnServer = Callable[[MailServer], None]

_DIALOGUES: Final[dict[Protocol, Callable[[Scope, Scope], DialogueSettings]]] = {
    Protocol.IMAP: imap.freeze,
    Protocol.POP3: pop3.freeze,
    Protocol.SMTP: smtp.freeze,
}


@dataclass(slots=True)
class ServersDraft:
    """In the `mail` block, the `server` blocks met so far."""

    scopes: list[Scope] = field(default_factory=list)


@dataclass(slots=True)
class MailBlock:
    """In the main context, the `mail` block and the servers it came to."""

    met: bool = False
    servers: tuple[MailServer, ...] = ()


def commands(on_server: OnServer) -> tuple[Command, ...]:
    """The rows; each server is handed to `on_server` when its TLS settings are known to be whole."""
    return (
        Command("mail", Context.MAIN, NONE, lambda parser: _open_mail(parser, on_server), block=True),
        Command("server", Context.MAIL, NONE, _open_server, block=True),
    )


def _open_mail(parser: Parser, on_server: OnServer) -> None:
    block = parser.main.draft(MailBlock)
    if block.met:
        raise parser.error('"mail" directive is duplicate')
    block.met = True
    scope = Scope(Context.MAIL, parser.scope, parser.where or "")
    parser.parse_block(scope)
    block.servers = _freeze(parser, scope, on_server)


def _open_server(parser: Parser) -> None:
    server = Scope(Context.SERVER, parser.scope, parser.where or "")
    parser.scope.draft(ServersDraft).scopes.append(server)
    parser.parse_block(server)
    if server.draft(ListenDraft).listen is UNSET:
        raise ConfigError('no "listen" is defined for server', server.opened_at)


def _freeze(parser: Parser, mail_scope: Scope, on_server: OnServer) -> tuple[MailServer, ...]:
    """Merge and check module by module, as nginx does: all servers' core, then all TLS, then all auth_http."""
    scopes = mail_scope.draft(ServersDraft).scopes
    cores = [_merge_core(scope, mail_scope) for scope in scopes]
    servers = []
    for scope, core in zip(scopes, cores, strict=True):
        server = _freeze_server(parser, scope, mail_scope, core)
        if server is not None:
            on_server(server)
        servers.append(server)
    for scope, server in zip(scopes, servers, strict=True):
        if server is None:
            raise ConfigError('no "auth_http" is defined for server', scope.opened_at)
    return tuple(server for server in servers if server is not None)


def _merge_core(scope: Scope, mail_scope: Scope) -> mail.MailCoreDraft:
    core = merged(mail.DEFAULTS, scope, mail_scope)
    if core.protocol is None:
        raise ConfigError("unknown mail protocol for server", scope.opened_at)
    return core


def _freeze_server(parser: Parser, scope: Scope, mail_scope: Scope, core: mail.MailCoreDraft) -> MailServer | None:
    """The server, None without an `auth_http`.

    Where its error log is that of the main context it stays empty, for that one may follow after `mail`.
    """
    tls = ssl.merge(scope, mail_scope)
    tls_settings = ssl.freeze(parser, tls)
    authentication = auth_http.freeze(scope, mail_scope)
    if core.protocol is None or authentication is None:
        return None
    return MailServer(
        listens=tuple(replace(listen, ssl=listen.ssl or tls.ssl) for listen in scope.draft(ListenDraft).listen),
        protocol=core.protocol,
        server_name=os.fsencode(core.server_name or socket.gethostname().lower()),
        timeout=core.timeout,
        max_errors=core.max_errors,
        max_commands=core.max_commands,
        error_log=core.error_log or (),
        resolver=replace(core.resolver, timeout=core.resolver_timeout),
        starttls=tls.starttls,
        ssl=tls_settings,
        dialogue=_DIALOGUES[core.protocol](scope, mail_scope),
        auth_http=authentication,
        proxy=proxy.freeze(scope, mail_scope),
        real_ip_from=realip.freeze(scope, mail_scope),
        where=scope.opened_at,
    )
