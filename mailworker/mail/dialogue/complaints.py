"""What the log says of clients that get no further: in words of ours, and never too many."""

from __future__ import annotations

from typing import Protocol

from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.wire.confidential import INVALID

# Lines about refusals that one client can add to the log.
_MOST = 10


class Conversation(Protocol):
    """What a dialogue tells; `complaints` counts the lines about refusals, `commands` what the client has asked for."""

    log: SessionLog
    server: Server
    complaints: int
    commands: int

    @property
    def secure(self) -> bool: ...


def tell_refusal(dialogue: Conversation, what: str) -> None:
    """Log what was refused, so that a client's trouble can be seen.

    An unknown command behind another refusal tells nothing new: it may be the rest of a request of HTTP.
    """
    if dialogue.complaints == _MOST or (dialogue.complaints and what == INVALID):
        return
    dialogue.complaints += 1
    last = "; further refusals are not logged" if dialogue.complaints == _MOST else ""
    dialogue.log.info(f"client was refused: {what}{last}")


def tell_departure(dialogue: Conversation) -> None:
    """Log that a client has asked what there is, and then left: maybe it was offered nothing that it can use."""
    if not dialogue.commands or dialogue.complaints or dialogue.log.login:
        return
    needs_tls = ", which needs TLS" if dialogue.server.starttls_only and not dialogue.secure else ""
    dialogue.log.info(f"client left without a login{needs_tls}")
