"""Directives of the mail core module (ngx_mail_core_module) but for `listen` and the blocks themselves.

`max_commands` is freenginx's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config import logs, slots
from mailworker.config.command import ONE, ONE_OR_MORE, Command
from mailworker.config.drafts import UNSET, Context
from mailworker.config.logs import LogTarget
from mailworker.config.protocol import ProtocolsDraft
from mailworker.config.resolver import ResolverSettings, read_resolver
from mailworker.config.tree import Parser
from mailworker.config.values import ANY


@dataclass(slots=True)
class MailCoreDraft:
    """`protocol` may also come from the port of a `listen`; None where neither tells it.

    `error_log` None is the main context's, `server_name` empty is the host's name.
    """

    protocol: str | None = UNSET
    server_name: str = UNSET
    timeout: float = UNSET
    max_errors: int = UNSET
    max_commands: int = UNSET
    error_log: tuple[LogTarget, ...] | None = UNSET
    resolver: ResolverSettings = UNSET
    resolver_timeout: float = UNSET


DEFAULTS: Final = MailCoreDraft(
    protocol=None,
    server_name="",
    timeout=60.0,
    max_errors=5,
    max_commands=1000,
    error_log=None,
    resolver=ResolverSettings(),
    resolver_timeout=30.0,
)


def _set_protocol(parser: Parser) -> None:
    """In lower case only; may be repeated, the last one wins."""
    name = parser.words[1]
    if name not in parser.main.draft(ProtocolsDraft).known:
        raise parser.error(f'unknown protocol "{name}"')
    parser.scope.draft(MailCoreDraft).protocol = name


def _set_resolver(parser: Parser) -> None:
    slots.claim(parser, MailCoreDraft)
    parser.scope.draft(MailCoreDraft).resolver = read_resolver(parser)


_BOTH: Final = Context.MAIL | Context.SERVER

COMMANDS: Final = (
    Command("protocol", Context.SERVER, ONE, _set_protocol),
    Command("timeout", _BOTH, ONE, slots.milliseconds(MailCoreDraft)),
    Command("server_name", _BOTH, ONE, slots.string(MailCoreDraft)),
    Command("error_log", _BOTH, ONE_OR_MORE, logs.error_log(MailCoreDraft)),
    Command("resolver", _BOTH, ONE_OR_MORE, _set_resolver),
    Command("resolver_timeout", _BOTH, ONE, slots.milliseconds(MailCoreDraft)),
    Command("max_errors", _BOTH, ONE, slots.number(MailCoreDraft, ANY)),
    Command("max_commands", _BOTH, ONE, slots.number(MailCoreDraft, ANY)),
)
