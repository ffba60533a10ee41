"""IMAP (RFC 9051)."""

from __future__ import annotations

from mailworker.config.imap import ImapDraft
from mailworker.config.settings import MailServer
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.backend.imap import first_steps, log_in, starttls
from mailworker.mail.capabilities import mechanisms
from mailworker.mail.dialogue.imap import ImapDialogue, first_login
from mailworker.mail.protocols.protocol import Protocol
from mailworker.model import Starttls
from mailworker.wire.imap_id import NIL
from mailworker.wire.refusal import imap_refusal
from mailworker.wire.reply_reader import ImapReplyReader


def _capabilities(settings: MailServer, starttls: Starttls) -> bytes:
    dialogue, barred = settings.dialogue, starttls is Starttls.ONLY
    names = [] if barred else mechanisms(dialogue.auth)
    # LOGIN is accepted wherever STARTTLS is not demanded, even if the configured list does not contain it.
    false = {b"LOGINDISABLED"} if names else {b"LOGINDISABLED", b"SASL-IR"}
    words = [word for word in dialogue.capabilities if word.upper() not in false]
    if dialogue.identity != NIL and b"ID" not in (word.upper() for word in words):
        words.append(b"ID")
    words += [b"AUTH=" + name for name in names]
    words += [b"STARTTLS"] if starttls is not Starttls.OFF else []
    words += [b"LOGINDISABLED"] if barred else []
    return b" ".join([b"* CAPABILITY", *words]) + b"\r\n"


def _greeting(settings: MailServer, capabilities: bytes) -> bytes:
    dialogue = settings.dialogue
    if dialogue.greeting_capabilities:
        listed = capabilities.removeprefix(b"* ").rstrip(b"\r\n")
        return b"* OK [%b] %b" % (listed, dialogue.greeting.removeprefix(b"* OK "))
    return dialogue.greeting


IMAP = Protocol(
    name="imap",
    ports=(143, 993),
    alpn=b"imap",
    directives=ImapDraft,
    needs_password=True,
    tells_host=False,
    layout=_capabilities,
    greeting=_greeting,
    dialogue=ImapDialogue,
    reply_reader=ImapReplyReader,
    first_login=first_login,
    starttls=starttls,
    first_steps=first_steps,
    log_in=log_in,
    refusal=imap_refusal,
    refusals=Refusals(
        b"[AUTHENTICATIONFAILED] ",
        b"[AUTHORIZATIONFAILED] ",
        b"[UNAVAILABLE] ",
        denial=b"* BYE [UNAVAILABLE] Service not available\r\n",
    ),
)
