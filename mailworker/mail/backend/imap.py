"""STARTTLS and login at an IMAP backend (RFC 9051)."""

from __future__ import annotations

from functools import partial

from mailworker.mail.backend.backend import Backend, Wanted, anything, needed_password
from mailworker.mail.backend.token import BY_TOKEN, log_in_by_token
from mailworker.wire.backend import (
    IMAP_COMMAND_LIMIT,
    expect_imap_continuation,
    expect_imap_greeting,
    expect_imap_login,
    expect_imap_ok,
    imap_login,
    judged,
    plain_response,
)
from mailworker.wire.login import Login

_GREETING = Wanted(b"* OK", None, None, expect_imap_greeting)
_LOGIN = Wanted(b"+", None, "LOGIN command", judged(expect_imap_continuation))
_AUTHENTICATE = Wanted(b"+", None, "AUTHENTICATE command", anything)
_USER = Wanted(b"+", None, "user name", judged(expect_imap_continuation))
_GO_AHEAD = Wanted(b"+", None, "AUTHENTICATE command", judged(expect_imap_continuation))


async def starttls(backend: Backend, login: Login) -> None:
    """Ask by STARTTLS, with the client's tag. Raises a PeerError."""
    wanted = Wanted(login.tag + b" OK", None, "STARTTLS", partial(expect_imap_ok, tag=login.tag))
    await backend.converse((None, _GREETING), (login.tag + b" STARTTLS\r\n", wanted))


async def log_in(backend: Backend, login: Login) -> bytes:
    """Log in by LOGIN with literals, or a token; gives the reply for the client. Raises a PeerError."""
    if login.passed_on and login.method in BY_TOKEN:
        reply = await log_in_by_token(backend, login, login.tag + b" AUTHENTICATE", _GO_AHEAD, (None, _GREETING))
        expect_imap_login(reply, login.tag)
        return reply.data
    tag, secret = login.tag, needed_password(login)
    first, second, third = imap_login(tag, login.name, secret)
    password = Wanted(tag + b" OK", None, "password", partial(expect_imap_login, tag=tag))
    steps = (first, _LOGIN), (second, _USER), (third, password)
    if len(first) + len(second) + len(third) <= IMAP_COMMAND_LIMIT:
        return (await backend.converse((None, _GREETING), *steps)).data
    response = plain_response(login.name, secret)
    reply = await backend.converse((None, _GREETING), (tag + b" AUTHENTICATE PLAIN\r\n", _AUTHENTICATE))
    if reply.last_line.startswith(tag + b" "):  # it does not know PLAIN, and may take long literals
        return (await backend.converse(*steps)).data
    _LOGIN.expect(reply)
    return (await backend.converse((response, password))).data
