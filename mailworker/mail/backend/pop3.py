"""STLS and login at a POP3 backend (RFC 1939, 2595, 5034)."""

from __future__ import annotations

from mailworker.mail.backend.backend import Backend, Wanted, anything, needed_password
from mailworker.wire.backend import (
    POP3_COMMAND_LIMIT,
    expect_pop3_go_ahead,
    expect_pop3_ok,
    plain_response,
    pop3_login,
)
from mailworker.wire.login import Login

_GREETING = Wanted(b"+OK", None, None, expect_pop3_ok)
_STLS = Wanted(b"+OK", None, "STLS", expect_pop3_ok)
_USER = Wanted(b"+OK", None, "user name", expect_pop3_ok)
_AUTH = Wanted(b"+", None, "AUTH", anything)
_PASSWORD = Wanted(b"+OK", None, "password", expect_pop3_ok)


async def starttls(backend: Backend, _login: Login) -> None:
    """Ask by STLS. Raises a PeerError."""
    await backend.converse((None, _GREETING), (b"STLS\r\n", _STLS))


async def log_in(backend: Backend, login: Login) -> bytes:
    """Log in by USER and PASS; gives the reply for the client. Raises a PeerError."""
    secret = needed_password(login)
    user, password = pop3_login(login.name, secret)
    steps = (user, _USER), (password, _PASSWORD)
    if max(len(user), len(password)) <= POP3_COMMAND_LIMIT:
        return (await backend.converse((None, _GREETING), *steps)).data
    response = plain_response(login.name, secret)
    reply = await backend.converse((None, _GREETING), (b"AUTH PLAIN\r\n", _AUTH))
    if reply.data.startswith(b"-"):  # it does not know AUTH, and may take long lines
        return (await backend.converse(*steps)).data
    expect_pop3_go_ahead(reply)
    return (await backend.converse((response, _PASSWORD))).data
