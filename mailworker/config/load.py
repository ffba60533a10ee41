"""Loading of a configuration file into Settings, with nginx's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from mailworker.config import (
    access,
    access_log,
    auth_http,
    auth_policy,
    blocks,
    control,
    core,
    events,
    limit_auth,
    limit_conn,
    listen,
    log_format,
    mail,
    proxy,
    proxy_ssl,
    realip,
    session_table,
    source,
    ssl,
    status,
    variables,
)
from mailworker.config.addresses import Resolve, system_addresses
from mailworker.config.blocks import MailBlock, OnTls
from mailworker.config.command import Command, CommandTable
from mailworker.config.control import ControlSettings
from mailworker.config.logs import FileLog, LogTarget
from mailworker.config.protocol import ProtocolModule, ProtocolsDraft
from mailworker.config.proxy_ssl import ProxySslSettings
from mailworker.config.settings import MailServer, Settings
from mailworker.config.ssl import SslSettings
from mailworker.config.status import StatusSettings
from mailworker.config.tree import Parser, Warn
from mailworker.config.zones import ZonesDraft
from mailworker.variables.regex import CompileRegex, no_engine

MODULES: Final = (
    *(core, events, mail, listen, ssl, auth_http, source, proxy, proxy_ssl, realip, variables, log_format, access_log),
    *(access, session_table, auth_policy, limit_auth, limit_conn, status, control),
)
"""The modules with COMMANDS, in addition to `blocks` and the protocol modules."""


def _take_any_tls(settings: SslSettings | None, proxy_settings: ProxySslSettings | None, protocol: str) -> None:
    pass


def directives(protocols: Mapping[str, ProtocolModule], on_tls: OnTls = _take_any_tls) -> tuple[Command, ...]:
    """All directives."""
    modules = (*(module.COMMANDS for module in MODULES), *(protocol.commands for protocol in protocols.values()))
    return (*(command for commands in modules for command in commands), *blocks.commands(on_tls))


def load(  # noqa: PLR0913 - the one entrance to the package, by keywords only
    path: Path,
    *,
    prefix: Path,
    protocols: Mapping[str, ProtocolModule],
    globals_: str = "",
    error_log: Path | None = core.ERROR_LOG,
    resolve: Resolve = system_addresses,
    compile_regex: CompileRegex = no_engine,
    on_tls: OnTls = _take_any_tls,
    on_warning: Warn = lambda level, message: None,
    on_syntax_ok: Callable[[], None] = lambda: None,
) -> Settings:
    """Read `path` and all that it includes.

    `prefix` is the folder of logs and pid files; `protocols` are those that can be served, by their names. `globals_`
    is the text of -g. `error_log` is the log of -e (None: stderr), which is used if the configuration names no file.
    `resolve` looks up host names, and `compile_regex` compiles regular expressions.

    `on_tls` is called with the TLS settings of each server and of its backends (None without TLS) and its protocol,
    when nginx would make its TLS context, so that a ConfigError that it raises comes in nginx's order.
    `on_warning` is called with each warning at once, so that warnings before an error are reported, too.
    `on_syntax_ok` is called when `-t` reports that the syntax is ok; later errors are not errors of syntax.

    Raises ConfigError.
    """
    handle = CommandTable(directives(protocols, on_tls)).handle
    parser = Parser(path, prefix, handle, resolve, on_warning, compile_regex)
    parser.main.draft(ProtocolsDraft).known = protocols
    _read(parser, path, globals_)
    on_syntax_ok()
    core_settings = core.freeze(parser, error_log)
    master = core_settings.master_process
    servers = _with_error_log(parser.main.draft(MailBlock).servers, core_settings.error_log)
    _warn_of_mixed_logs(parser, (core_settings.error_log, *(server.error_log for server in servers)))
    events_settings = events.freeze(parser, len(listen.plan_sockets(server.listens for server in servers)))
    shown, steered = _freeze_status(parser, servers, master=master)
    return Settings(
        path=path,
        core=core_settings,
        events=events_settings,
        servers=servers,
        zones=tuple(parser.main.draft(ZonesDraft).zones.values()),
        files=tuple(parser.files.items()),
        warnings=tuple(parser.warnings),
        secrets=tuple(parser.secrets),
        status=shown,
        control=steered,
        session_rows=session_table.freeze(parser, events_settings, wanted=steered is not None, master=master),
    )


def _read(parser: Parser, path: Path, globals_: str) -> None:
    if globals_:
        parser.parse_text(globals_)
    parser.parse_file(str(path))


def _freeze_status(
    parser: Parser, servers: Iterable[MailServer], *, master: bool
) -> tuple[StatusSettings | None, ControlSettings | None]:
    taken = [each.address for server in servers for each in server.listens]
    shown = status.freeze(parser, taken, master=master)
    others = () if shown is None else (each.address for each in shown.listens)
    return shown, control.freeze(parser, (*taken, *others), master=master)


def _with_error_log(servers: Iterable[MailServer], error_log: tuple[LogTarget, ...]) -> tuple[MailServer, ...]:
    return tuple(server if server.error_log else replace(server, error_log=error_log) for server in servers)


def _warn_of_mixed_logs(parser: Parser, error_logs: Iterable[tuple[LogTarget, ...]]) -> None:
    """Warn of a file that is both an access log and an error log, except devices, such as /dev/stdout in containers."""
    files = {target.path for targets in error_logs for target in targets if isinstance(target, FileLog)}
    for path, where in parser.main.draft(MailBlock).access_logs.items():
        if path in files and path.parts[1] != "dev":
            parser.warn(f'"access_log" and "error_log" mix their lines in "{path}"', where)
