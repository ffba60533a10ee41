"""Directives of the mail core module (ngx_mail_core_module), except for `listen` and the blocks themselves.

`max_commands` is from freenginx.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.drafts import BOTH, Context
from mailworker.config.logs import ERROR_LOGS, LogTarget
from mailworker.config.protocol import ProtocolsDraft
from mailworker.config.resolver import RESOLVER, ResolverSettings
from mailworker.config.rows import Value, commands, row
from mailworker.config.server_name import take_server_name
from mailworker.config.slots import FLAG, MILLISECONDS, number
from mailworker.config.tree import Parser
from mailworker.config.values import ANY


def _take_protocol(parser: Parser, _: object) -> str:
    """The name, in lower case only. The directive may be repeated, and the last one applies."""
    name = parser.words[1]
    known = parser.main.draft(ProtocolsDraft).known
    if name not in known:
        raise parser.error(f'unknown protocol "{name}"', f", known are {', '.join(sorted(known))}")
    return known[name].name  # one string for all servers


@dataclass(slots=True)
class MailCoreDraft:
    """`protocol` may also follow from the port of a `listen`; it is None if it is unknown.

    `error_log` None is that of the main context; an empty `server_name` is the host name.
    """

    protocol: str | None = row(Context.SERVER, ONE, Value(_take_protocol), None)
    server_name: str = row(BOTH, ONE_OR_MORE, Value(take_server_name), "", spelled="hostname")
    timeout: float = row(BOTH, ONE, MILLISECONDS, 60.0)
    max_errors: int = row(BOTH, ONE, number(ANY), 5)
    max_commands: int = row(BOTH, ONE, number(ANY), 1000)
    deny_reply: bool = row(BOTH, ONE, FLAG, False)
    error_log: tuple[LogTarget, ...] | None = row(BOTH, ONE_OR_MORE, ERROR_LOGS, None)
    resolver: ResolverSettings = row(BOTH, ONE_OR_MORE, RESOLVER, ResolverSettings(), spelled="off")
    resolver_timeout: float = row(BOTH, ONE, MILLISECONDS, 30.0, into=None)


COMMANDS: Final = commands(MailCoreDraft)
