"""Log lines about clients whose commands are refused: without the clients' own words, and limited in number."""

from __future__ import annotations

from typing import Protocol

from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.wire.confidential import INVALID

# The most lines about refusals that one client can cause.
_MOST = 10


class Dialogue(Protocol):
    """The part of a dialogue that is needed here.

    `complaints` counts the lines about refusals, `commands` the client's commands.
    """

    log: SessionLog
    server: Server
    complaints: int
    commands: int

    @property
    def secure(self) -> bool: ...


def tell_refusal(dialogue: Dialogue, what: str) -> None:
    """Log what was refused, so that an administrator can see why a client fails.

    An unknown command after another refusal is not logged: it may be a further line of an HTTP request.
    """
    if dialogue.complaints == _MOST or (dialogue.complaints and what == INVALID):
        return
    dialogue.complaints += 1
    last = "; further refusals are not logged" if dialogue.complaints == _MOST else ""
    dialogue.log.info(f"client was refused: {what}{last}")


def tell_departure(dialogue: Dialogue) -> None:
    """Log that a client has asked for capabilities and then left: maybe it can use none of those offered."""
    if not dialogue.commands or dialogue.complaints or dialogue.log.login:
        return
    needs_tls = ", which needs TLS" if dialogue.server.starttls_only and not dialogue.secure else ""
    dialogue.log.info(f"client left without a login{needs_tls}")
