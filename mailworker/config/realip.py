"""Peers whose PROXY header is believed (ngx_mail_realip_module)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config.command import ONE, Command
from mailworker.config.drafts import UNSET, Context, Scope
from mailworker.config.merge import merged
from mailworker.config.networks import Network, networks


@dataclass(slots=True)
class RealipDraft:
    """Blocks of addresses."""

    set_real_ip_from: tuple[Network, ...] = UNSET


DEFAULTS: Final = RealipDraft(set_real_ip_from=())


def freeze(server: Scope, mail: Scope) -> tuple[Network, ...]:
    """The server's trusted peers."""
    return merged(DEFAULTS, server, mail).set_real_ip_from


COMMANDS: Final = (Command("set_real_ip_from", Context.MAIL | Context.SERVER, ONE, networks(RealipDraft)),)
