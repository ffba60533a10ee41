"""SMTP, for mail from users and from unauthenticated senders (RFC 5321, RFC 6409)."""

from __future__ import annotations

from mailworker.config.settings import MailServer
from mailworker.config.smtp import SmtpDraft
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.backend.smtp import LOGGED_IN, first_steps, log_in, starttls
from mailworker.mail.capabilities import mechanisms
from mailworker.mail.dialogue.smtp import SmtpDialogue, first_login, opening
from mailworker.mail.protocols.protocol import Protocol
from mailworker.model import Starttls
from mailworker.wire.refusal import smtp_refusal
from mailworker.wire.reply_reader import SmtpReplyReader


def _capabilities(settings: MailServer, starttls: Starttls) -> bytes:
    lines = [settings.server_name, *settings.dialogue.capabilities]
    names = mechanisms(settings.dialogue.auth)
    if names and starttls is not Starttls.ONLY:
        lines.append(b" ".join([b"AUTH", *names]))
    if starttls is not Starttls.OFF:
        lines.append(b"STARTTLS")
    return b"".join(b"250-%s\r\n" % line for line in lines[:-1]) + b"250 %s\r\n" % lines[-1]


def _greeting(settings: MailServer, _capabilities: bytes) -> bytes:
    return b"220 %b%b" % (settings.server_name, settings.dialogue.greeting)


SMTP = Protocol(
    name="smtp",
    ports=(25, 465, 587),
    alpn=b"smtp",
    alpn_too=(b"submission",),
    directives=SmtpDraft,
    needs_password=False,
    tells_host=True,
    layout=_capabilities,
    greeting=_greeting,
    dialogue=SmtpDialogue,
    reply_reader=SmtpReplyReader,
    opening=opening,
    first_login=first_login,
    starttls=starttls,
    first_steps=first_steps,
    welcome=LOGGED_IN,
    log_in=log_in,
    refusal=smtp_refusal,
    refusals=Refusals(wrong_text=b"Authentication credentials invalid", denial=b"421 4.7.0 Service not available\r\n"),
)
