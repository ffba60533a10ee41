"""Asking the backend for TLS (RFC 9051 section 6.2.1, RFC 2595 section 4, RFC 3207)."""

from __future__ import annotations

from functools import partial

from mailworker.mail.backend.backend import Backend, Introduction, Wanted
from mailworker.mail.backend.login import IMAP_GREETING, POP3_GREETING
from mailworker.mail.backend.smtp import SMTP_GREETING, SMTP_HELLO, smtp_hello, smtp_wanted
from mailworker.mail.dialogue.imap import ImapDialogue
from mailworker.mail.dialogue.smtp import SmtpDialogue
from mailworker.wire.backend import expect_imap_ok, expect_pop3_ok

_POP3_STLS = Wanted(b"+OK", None, "STLS", expect_pop3_ok)
_SMTP_STARTTLS = smtp_wanted(b"220", "STARTTLS")


async def imap_starttls(backend: Backend, dialogue: ImapDialogue, _who: Introduction) -> None:
    """Ask by STARTTLS, with the client's tag. Raises a PeerError."""
    tag = dialogue.tag or b""
    wanted = Wanted(tag + b" OK", None, "STARTTLS", partial(expect_imap_ok, tag=tag))
    await backend.converse((None, IMAP_GREETING), (tag + b" STARTTLS\r\n", wanted))


async def pop3_starttls(backend: Backend, _dialogue: object, _who: Introduction) -> None:
    """Ask by STLS. Raises a PeerError."""
    await backend.converse((None, POP3_GREETING), (b"STLS\r\n", _POP3_STLS))


async def smtp_starttls(backend: Backend, _dialogue: SmtpDialogue, who: Introduction) -> None:
    """Say EHLO, then STARTTLS; what EHLO has told counts no more. Raises a PeerError."""
    await backend.converse(
        (None, SMTP_GREETING),
        (smtp_hello(who.server_name, esmtp=True), SMTP_HELLO),
        (b"STARTTLS\r\n", _SMTP_STARTTLS),
    )
