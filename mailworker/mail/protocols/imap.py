"""IMAP (RFC 9051)."""

from __future__ import annotations

from mailworker.config.imap import ImapDraft
from mailworker.config.settings import MailServer
from mailworker.mail.authentication.refusals import Refusals
from mailworker.mail.backend.imap import log_in, starttls
from mailworker.mail.capabilities import mechanisms
from mailworker.mail.dialogue.imap import ImapDialogue
from mailworker.mail.protocols.protocol import Protocol
from mailworker.model import Starttls
from mailworker.wire.backend import ImapReplyReader
from mailworker.wire.refusal import imap_refusal


def _capabilities(settings: MailServer, starttls: Starttls) -> bytes:
    # LOGIN is taken wherever STARTTLS is not demanded, whatever the configured list says.
    listed = [word for word in settings.dialogue.capabilities if word.upper() != b"LOGINDISABLED"]
    words = [b"* CAPABILITY", *listed]
    if starttls is Starttls.ONLY:
        words += [b"STARTTLS", b"LOGINDISABLED"]
    else:
        words += [b"AUTH=" + name for name in mechanisms(settings.dialogue.auth)]
        words += [b"STARTTLS"] if starttls is Starttls.ON else []
    return b" ".join(words) + b"\r\n"


IMAP = Protocol(
    name="imap",
    ports=(143, 993),
    alpn=b"imap",
    directives=ImapDraft,
    needs_password=True,
    tells_host=False,
    layout=_capabilities,
    dialogue=ImapDialogue,
    reply_reader=ImapReplyReader,
    starttls=starttls,
    log_in=log_in,
    refusal=imap_refusal,
    refusals=Refusals(b"[AUTHENTICATIONFAILED] ", b"[AUTHORIZATIONFAILED] ", b"[UNAVAILABLE] "),
)
