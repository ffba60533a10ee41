"""The login at the backend, protocol by protocol."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.errors import Party, ProtocolError
from mailworker.mail.dialogue.imap import ImapDialogue
from mailworker.mail.dialogue.smtp import SmtpDialogue
from mailworker.mail.upstream.upstream import Introduction, Step, Upstream, Wanted
from mailworker.wire.secret import Secret
from mailworker.wire.upstream import (
    Reply,
    expect_imap_continuation,
    expect_imap_greeting,
    expect_imap_ok,
    expect_pop3_ok,
    expect_smtp_code,
    imap_login,
    pop3_login,
    smtp_auth_plain,
    smtp_line,
)
from mailworker.wire.xclient import build as build_xclient


def _anything(_reply: Reply) -> None:
    """The caller knows more of what the reply must be, or it is the client's to judge."""


def smtp_wanted(code: bytes, command: str | None, *others: bytes) -> Wanted:
    """A reply with one of the codes, of which the first is usual."""
    return Wanted(code + b" ", code + b"-", command, lambda reply: expect_smtp_code(reply, code, *others))


IMAP_GREETING = Wanted(b"* OK", None, None, expect_imap_greeting)
_IMAP_LOGIN = Wanted(b"+", None, "LOGIN command", expect_imap_continuation)
_IMAP_USER = Wanted(b"+", None, "user name", expect_imap_continuation)
_IMAP_PASSWORD = Wanted(b"", None, "password", _anything)
POP3_GREETING = Wanted(b"+OK", None, None, expect_pop3_ok)
_POP3_USER = Wanted(b"+OK", None, "user name", expect_pop3_ok)
_POP3_PASSWORD = Wanted(b"+OK", None, "password", expect_pop3_ok)
SMTP_GREETING = smtp_wanted(b"220", None)
SMTP_HELLO = smtp_wanted(b"250", "HELO/EHLO")
_SMTP_XCLIENT = smtp_wanted(b"220", "XCLIENT", b"250")
_SMTP_CLIENT_HELLO = smtp_wanted(b"250", "client HELO/EHLO")
_SMTP_AUTH = smtp_wanted(b"235", "AUTH")
_SMTP_MAIL = smtp_wanted(b"250", "MAIL FROM")
_SMTP_RCPT = Wanted(b"", None, "RCPT TO", _anything)


async def imap_log_in(upstream: Upstream, dialogue: ImapDialogue, who: Introduction) -> bytes:
    """Log in by LOGIN with literals; gives the reply for the client. Raises a PeerError."""
    tag = dialogue.tag or b""
    first, second, third = imap_login(tag, who.name, _password(who))
    reply = await upstream.converse(
        (None, IMAP_GREETING), (first, _IMAP_LOGIN), (second, _IMAP_USER), (third, _IMAP_PASSWORD)
    )
    expect_imap_ok(reply, tag)
    return reply.data


async def pop3_log_in(upstream: Upstream, _dialogue: object, who: Introduction) -> bytes:
    """Log in by USER and PASS; gives the reply for the client. Raises a PeerError."""
    user, password = pop3_login(who.name, _password(who))
    reply = await upstream.converse((None, POP3_GREETING), (user, _POP3_USER), (password, _POP3_PASSWORD))
    return reply.data


async def smtp_log_in(upstream: Upstream, dialogue: SmtpDialogue, who: Introduction) -> bytes:
    """Introduce the client, and log in or hand over its first recipient; gives the reply for the client.

    Raises a PeerError.
    """
    xclient, envelope = who.proxy.xclient, who.login.envelope
    steps: list[Step] = [
        (None, SMTP_GREETING),
        (smtp_hello(who.server_name, esmtp=dialogue.esmtp or xclient), SMTP_HELLO),
    ]
    if xclient:
        login = None if who.proxy.smtp_auth else who.name
        await _add(steps, _SMTP_XCLIENT, lambda: build_xclient(who.client, login, who.client_host), upstream)
        if dialogue.helo:
            steps.append((smtp_hello(dialogue.helo, esmtp=dialogue.esmtp), _SMTP_CLIENT_HELLO))
    if envelope is not None:
        steps += (smtp_line(envelope.mail), _SMTP_MAIL), (smtp_line(envelope.rcpt), _SMTP_RCPT)
    elif who.proxy.smtp_auth:
        await _add(steps, _SMTP_AUTH, lambda: smtp_auth_plain(who.name, _password(who)), upstream)
    reply = await upstream.converse(*steps)
    return b"235 2.0.0 OK\r\n" if envelope is None else reply.data


async def _add(steps: list[Step], wanted: Wanted, command: Callable[[], bytes], upstream: Upstream) -> None:
    """Add a command; one that cannot be sent ends the login, as nginx's, when all before it has been said."""
    try:
        steps.append((command(), wanted))
    except ProtocolError:
        await upstream.converse(*steps)
        upstream.prepare(wanted)
        raise


def smtp_hello(name: bytes, *, esmtp: bool) -> bytes:
    """EHLO, or HELO; raises ProtocolError."""
    return smtp_line((b"EHLO %b" if esmtp else b"HELO %b") % name)


def _password(who: Introduction) -> Secret:
    if who.password is None:
        raise ProtocolError(Party.UPSTREAM, "no password available")
    return who.password
