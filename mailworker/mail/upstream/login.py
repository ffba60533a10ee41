"""The login at the backend, protocol by protocol."""

from __future__ import annotations

from mailworker.errors import Party, ProtocolError
from mailworker.mail.dialogue.imap import ImapDialogue
from mailworker.mail.dialogue.smtp import SmtpDialogue
from mailworker.mail.upstream.upstream import Introduction, Upstream
from mailworker.wire.auth_request import SmtpEnvelope
from mailworker.wire.secret import Secret
from mailworker.wire.upstream import (
    expect_imap_continuation,
    expect_imap_greeting,
    expect_imap_login,
    expect_pop3_ok,
    expect_smtp_code,
    imap_login,
    pop3_login,
    smtp_auth_plain,
    smtp_line,
)
from mailworker.wire.xclient import build as build_xclient


async def imap_log_in(upstream: Upstream, dialogue: ImapDialogue, who: Introduction) -> bytes:
    """Log in by LOGIN with literals; gives the reply for the client. Raises a PeerError."""
    tag = dialogue.tag or b""
    first, second, third = imap_login(tag, who.name, _password(who))
    expect_imap_greeting(await upstream.reply())
    expect_imap_continuation(await upstream.ask(first, "LOGIN command"))
    expect_imap_continuation(await upstream.ask(second, "user name"))
    reply = await upstream.ask(third, "password")
    expect_imap_login(reply, tag)
    return reply.data


async def pop3_log_in(upstream: Upstream, _dialogue: object, who: Introduction) -> bytes:
    """Log in by USER and PASS; gives the reply for the client. Raises a PeerError."""
    user, password = pop3_login(who.name, _password(who))
    expect_pop3_ok(await upstream.reply())
    expect_pop3_ok(await upstream.ask(user, "user name"))
    reply = await upstream.ask(password, "password")
    expect_pop3_ok(reply)
    return reply.data


async def smtp_log_in(upstream: Upstream, dialogue: SmtpDialogue, who: Introduction) -> bytes:
    """Introduce the client, and log in or hand over its first recipient; gives the reply for the client.

    Raises a PeerError.
    """
    expect_smtp_code(await upstream.reply(), b"220")
    hello = b"EHLO %b" if dialogue.esmtp or who.proxy.xclient else b"HELO %b"
    expect_smtp_code(await upstream.ask(smtp_line(hello % who.server_name), "HELO/EHLO"), b"250")
    if who.proxy.xclient:
        await _xclient(upstream, dialogue, who)
    envelope = who.login.envelope
    if envelope is not None:
        return await _smtp_envelope(upstream, envelope)
    if who.proxy.smtp_auth:
        upstream.prepare("AUTH")
        expect_smtp_code(await upstream.ask(smtp_auth_plain(who.name, _password(who)), "AUTH"), b"235")
    return b"235 2.0.0 OK\r\n"


async def _xclient(upstream: Upstream, dialogue: SmtpDialogue, who: Introduction) -> None:
    login = None if who.proxy.smtp_auth else who.name
    command = build_xclient(who.client, login, who.client_host)
    expect_smtp_code(await upstream.ask(command, "XCLIENT"), b"220", b"250")
    if dialogue.helo:
        hello = b"EHLO %b" if dialogue.esmtp else b"HELO %b"
        expect_smtp_code(await upstream.ask(smtp_line(hello % dialogue.helo), "client HELO/EHLO"), b"250")


async def _smtp_envelope(upstream: Upstream, envelope: SmtpEnvelope) -> bytes:
    expect_smtp_code(await upstream.ask(smtp_line(envelope.mail), "MAIL FROM"), b"250")
    return (await upstream.ask(smtp_line(envelope.rcpt), "RCPT TO")).data


def _password(who: Introduction) -> Secret:
    if who.password is None:
        raise ProtocolError(Party.UPSTREAM, "no password available")
    return who.password
