"""A configuration file -> Settings, or the ConfigError that nginx would report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mailworker.config import (
    auth_http,
    blocks,
    core,
    events,
    listen,
    mail,
    proxy,
    proxy_ssl,
    realip,
    ssl,
)
from mailworker.config.addresses import Resolve, system_addresses
from mailworker.config.blocks import MailBlock, OnTls
from mailworker.config.command import Command, CommandTable
from mailworker.config.logs import LogTarget
from mailworker.config.protocol import ProtocolModule, ProtocolsDraft
from mailworker.config.settings import MailServer, Settings
from mailworker.config.tree import Parser, Warn
from mailworker.config.zones import ZonesDraft

_MODULES = (core, events, mail, listen, ssl, auth_http, proxy, proxy_ssl, realip)


def rows(protocols: Mapping[str, ProtocolModule]) -> list[Command]:
    """What a configuration may hold but for the blocks: the COMMANDS of all modules, those of protocols last."""
    commands = (*(module.COMMANDS for module in _MODULES), *(protocol.commands for protocol in protocols.values()))
    return [command for module in commands for command in module]


def load(  # noqa: PLR0913 - the one entrance to the package, by keywords only
    path: Path,
    *,
    prefix: Path,
    protocols: Mapping[str, ProtocolModule],
    globals_: str = "",
    error_log: Path | None = core.ERROR_LOG,
    resolve: Resolve = system_addresses,
    on_tls: OnTls = lambda settings, proxy_settings, protocol: None,
    on_warning: Warn = lambda level, message: None,
    on_syntax_ok: Callable[[], None] = lambda: None,
) -> Settings:
    """Read `path` and all that it includes.

    `prefix` is the folder of logs and pid files; `protocols` are those that can be served, by their names. `globals_`
    is the text of -g, `error_log` the log of -e (None: stderr), which takes effect where the configuration names no
    file. Host names go through `resolve`.

    `on_tls` is called with the TLS settings of every server and of its backends (None without TLS) and its protocol,
    in turn, when nginx would make its TLS context, so a ConfigError of the caller's comes in nginx's order.
    `on_warning` gets each warning at once, since those that come before an error are reported too.
    `on_syntax_ok` is called where `-t` says so: what is refused after that is no error of syntax.

    Raises ConfigError.
    """
    table = CommandTable([*rows(protocols), *blocks.commands(on_tls)])
    parser = Parser(path, prefix, table.handle, resolve, on_warning)
    parser.main.draft(ProtocolsDraft).known = protocols
    if globals_:
        parser.parse_text(globals_)
    parser.parse_file(str(path))
    on_syntax_ok()
    core_settings = core.freeze(parser, error_log)
    servers = parser.main.draft(MailBlock).servers
    sockets = listen.count_sockets(address for server in servers for address in server.listens)
    return Settings(
        path=path,
        core=core_settings,
        events=events.freeze(parser, sockets),
        servers=_with_error_log(servers, core_settings.error_log),
        zones=tuple(parser.main.draft(ZonesDraft).zones.values()),
        files=tuple(parser.files.items()),
        warnings=tuple(parser.warnings),
        secrets=tuple(parser.secrets),
    )


def _with_error_log(servers: Iterable[MailServer], error_log: tuple[LogTarget, ...]) -> tuple[MailServer, ...]:
    return tuple(server if server.error_log else replace(server, error_log=error_log) for server in servers)
