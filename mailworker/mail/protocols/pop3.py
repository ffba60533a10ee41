"""POP3 (RFC 1939)."""

from __future__ import annotations

from mailworker.config.pop3 import Pop3Draft
from mailworker.config.settings import MailServer
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.backend.pop3 import first_steps, log_in, starttls
from mailworker.mail.capabilities import mechanisms
from mailworker.mail.dialogue.pop3 import Pop3Dialogue, first_login, opening
from mailworker.mail.protocols.protocol import Protocol
from mailworker.model import AuthMethod, Starttls
from mailworker.wire.refusal import pop3_refusal
from mailworker.wire.reply_reader import Pop3ReplyReader


def _capabilities(settings: MailServer, starttls: Starttls) -> bytes:
    lines = [b"+OK Capability list follows", *settings.dialogue.capabilities]
    if starttls is Starttls.ONLY:
        lines = [line for line in lines if line.upper() != b"USER"]
    elif names := mechanisms(settings.dialogue.auth):
        lines.append(b" ".join([b"SASL", *names]))
    if starttls is not Starttls.OFF:
        lines.append(b"STLS")
    return b"\r\n".join([*lines, b".", b""])


def _greeting(settings: MailServer, _capabilities: bytes) -> bytes | None:
    dialogue = settings.dialogue
    return None if dialogue.auth & (AuthMethod.APOP | AuthMethod.CRAM_MD5) else dialogue.greeting


POP3 = Protocol(
    name="pop3",
    ports=(110, 995),
    alpn=b"pop3",
    directives=Pop3Draft,
    needs_password=True,
    tells_host=False,
    layout=_capabilities,
    greeting=_greeting,
    dialogue=Pop3Dialogue,
    reply_reader=Pop3ReplyReader,
    opening=opening,
    first_login=first_login,
    starttls=starttls,
    first_steps=first_steps,
    log_in=log_in,
    refusal=pop3_refusal,
    refusals=Refusals(b"[AUTH] ", b"[AUTH] ", b"[SYS/TEMP] ", denial=b"-ERR [SYS/TEMP] Service not available\r\n"),
)
