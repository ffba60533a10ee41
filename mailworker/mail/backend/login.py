"""The login at an IMAP or POP3 backend."""

from __future__ import annotations

from mailworker.errors import Party, ProtocolError
from mailworker.mail.backend.backend import Backend, Introduction, Wanted
from mailworker.mail.dialogue.imap import ImapDialogue
from mailworker.wire.backend import (
    IMAP_COMMAND_LIMIT,
    POP3_COMMAND_LIMIT,
    Reply,
    expect_imap_continuation,
    expect_imap_greeting,
    expect_imap_ok,
    expect_pop3_go_ahead,
    expect_pop3_ok,
    imap_login,
    plain_response,
    pop3_login,
)
from mailworker.wire.secret import Secret


def anything(_reply: Reply) -> None:
    """The caller knows more of what the reply must be, or it is the client's to judge."""


IMAP_GREETING = Wanted(b"* OK", None, None, expect_imap_greeting)
_IMAP_LOGIN = Wanted(b"+", None, "LOGIN command", expect_imap_continuation)
_IMAP_AUTHENTICATE = Wanted(b"", None, "AUTHENTICATE command", anything)
_IMAP_USER = Wanted(b"+", None, "user name", expect_imap_continuation)
_IMAP_PASSWORD = Wanted(b"", None, "password", anything)
POP3_GREETING = Wanted(b"+OK", None, None, expect_pop3_ok)
_POP3_USER = Wanted(b"+OK", None, "user name", expect_pop3_ok)
_POP3_AUTH = Wanted(b"", None, "AUTH", anything)
_POP3_PASSWORD = Wanted(b"+OK", None, "password", expect_pop3_ok)


async def imap_log_in(backend: Backend, dialogue: ImapDialogue, who: Introduction) -> bytes:
    """Log in by LOGIN with literals; gives the reply for the client. Raises a PeerError."""
    tag, secret = dialogue.tag or b"", needed_password(who)
    first, second, third = imap_login(tag, who.name, secret)
    steps = (first, _IMAP_LOGIN), (second, _IMAP_USER), (third, _IMAP_PASSWORD)
    if len(first) + len(second) + len(third) <= IMAP_COMMAND_LIMIT:
        reply = await backend.converse((None, IMAP_GREETING), *steps)
    else:
        response = plain_response(who.name, secret)
        reply = await backend.converse((None, IMAP_GREETING), (tag + b" AUTHENTICATE PLAIN\r\n", _IMAP_AUTHENTICATE))
        if reply.last_line.startswith(tag + b" "):  # it does not know PLAIN, and may take long literals
            reply = await backend.converse(*steps)
        else:
            expect_imap_continuation(reply)
            reply = await backend.converse((response, _IMAP_PASSWORD))
    expect_imap_ok(reply, tag)
    return reply.data


async def pop3_log_in(backend: Backend, _dialogue: object, who: Introduction) -> bytes:
    """Log in by USER and PASS; gives the reply for the client. Raises a PeerError."""
    secret = needed_password(who)
    user, password = pop3_login(who.name, secret)
    steps = (user, _POP3_USER), (password, _POP3_PASSWORD)
    if max(len(user), len(password)) <= POP3_COMMAND_LIMIT:
        return (await backend.converse((None, POP3_GREETING), *steps)).data
    response = plain_response(who.name, secret)
    reply = await backend.converse((None, POP3_GREETING), (b"AUTH PLAIN\r\n", _POP3_AUTH))
    if reply.data.startswith(b"-"):  # it does not know AUTH, and may take long lines
        return (await backend.converse(*steps)).data
    expect_pop3_go_ahead(reply)
    return (await backend.converse((response, _POP3_PASSWORD))).data


def needed_password(who: Introduction) -> Secret:
    """Raises ProtocolError where nobody has sent one."""
    if who.password is None:
        raise ProtocolError(Party.BACKEND, "no password available")
    return who.password
