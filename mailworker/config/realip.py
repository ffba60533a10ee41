"""Peers whose PROXY header is trusted (ngx_mail_realip_module)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.config.command import ONE
from mailworker.config.drafts import BOTH, Scope
from mailworker.config.networks import NETWORKS, Network
from mailworker.config.rows import commands, merged, row


@dataclass(slots=True)
class RealipDraft:
    """Networks of trusted peers."""

    set_real_ip_from: tuple[Network, ...] = row(BOTH, ONE, NETWORKS, ())


COMMANDS: Final = commands(RealipDraft)


def freeze(server: Scope, mail: Scope) -> tuple[Network, ...]:
    """The server's trusted peers."""
    return merged(RealipDraft, server, mail).set_real_ip_from
