"""The protocols: for each the dialogue with the client and the login at the backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mailworker.event.stream import Stream
from mailworker.mail.backend.backend import Backend, Introduction, ReplyReader
from mailworker.mail.backend.login import imap_log_in, pop3_log_in
from mailworker.mail.backend.smtp import smtp_log_in
from mailworker.mail.backend.starttls import imap_starttls, pop3_starttls, smtp_starttls
from mailworker.mail.dialogue.dialogue import Dialogue
from mailworker.mail.dialogue.imap import ImapDialogue
from mailworker.mail.dialogue.pop3 import Pop3Dialogue
from mailworker.mail.dialogue.smtp import SmtpDialogue
from mailworker.mail.server import Server
from mailworker.mail.session_log import SessionLog
from mailworker.tls.backend import TlsPeer
from mailworker.wire.backend import ImapReplyReader, Pop3ReplyReader, SmtpReplyReader


@dataclass(frozen=True, slots=True)
class MailProtocol:
    """One row. `starttls` asks a backend for TLS; `log_in` gives the reply that tells the client it is logged in."""

    dialogue: Callable[[Stream, Server, SessionLog], Dialogue[Any]]
    reply_reader: Callable[[int], ReplyReader]
    starttls: Callable[[Backend, Any, Introduction], Awaitable[None]]
    log_in: Callable[[Backend, Any, Introduction], Awaitable[bytes]]

    async def log_in_over_tls(self, backend: Backend, dialogue: Any, who: Introduction, peer: TlsPeer) -> bytes:
        """As `log_in`, but let nobody else read it."""
        if peer.starttls:
            await self.starttls(backend, dialogue, who)
        await backend.start_tls(peer)
        reply = await self.log_in(backend, dialogue, who)
        backend.remember(peer)
        return reply


PROTOCOLS = {
    "imap": MailProtocol(ImapDialogue, ImapReplyReader, imap_starttls, imap_log_in),
    "pop3": MailProtocol(Pop3Dialogue, Pop3ReplyReader, pop3_starttls, pop3_log_in),
    "smtp": MailProtocol(SmtpDialogue, SmtpReplyReader, smtp_starttls, smtp_log_in),
}
