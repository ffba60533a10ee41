"""STARTTLS and login at an IMAP backend (RFC 9051)."""

from __future__ import annotations

from functools import lru_cache, partial

from mailworker.config.proxy import ProxySettings
from mailworker.mail.backend.backend import Backend, needed_password
from mailworker.mail.backend.conversation import Step, Talk, Wanted, anything
from mailworker.mail.backend.sasl import authenticate, goes_by_sasl
from mailworker.wire.backend import (
    IMAP_COMMAND_LIMIT,
    expect_imap_continuation,
    expect_imap_greeting,
    expect_imap_login,
    expect_imap_ok,
    expect_imap_tagged,
    imap_capabilities,
    imap_login,
    imap_login_line,
    judged,
    plain_response,
)
from mailworker.wire.identity import imap_fields
from mailworker.wire.login import Login

_GREETING = Wanted(b"* OK", None, None, expect_imap_greeting)
_GREETED: Step = None, _GREETING
_LOGIN = Wanted(b"+", None, "LOGIN command", judged(expect_imap_continuation))
_AUTHENTICATE = Wanted(b"+", None, "AUTHENTICATE command", anything)
_USER = Wanted(b"+", None, "user name", judged(expect_imap_continuation))
_GO_AHEAD = Wanted(b"+", None, "AUTHENTICATE command", judged(expect_imap_continuation))


def starttls(backend: Backend, login: Login) -> Talk[None]:
    """Ask by STARTTLS, with the client's tag. Raises a PeerError."""
    wanted = Wanted(login.tag + b" OK", None, "STARTTLS", partial(expect_imap_ok, tag=login.tag))
    yield ((None, _GREETING), (login.tag + b" STARTTLS\r\n", wanted))


def _introduce(backend: Backend, login: Login) -> Talk[None]:
    """Tell by ID who the client is, where the backend lists it; its answer does not matter.

    What was listed before TLS does not count behind it, so the backend is asked there, as where its greeting lists
    nothing.
    """
    greeting = b"" if backend.greeted else (yield from backend.greet(_GREETING))
    listed = imap_capabilities(greeting)
    if listed is None:
        capability = Wanted(login.tag + b" OK", b"* ", "CAPABILITY", partial(expect_imap_tagged, tag=login.tag))
        listed = imap_capabilities((yield ((login.tag + b" CAPABILITY\r\n", capability),)).data)
    if b"ID" in (listed or ()):
        command = b"%b ID %b\r\n" % (login.tag, imap_fields(backend.identity(login.client_id)))
        answer = Wanted(login.tag + b" OK", b"* ", "ID", partial(expect_imap_tagged, tag=login.tag))
        yield ((command, answer),)


@lru_cache(maxsize=64)  # clients have few tags and many logins
def _password(tag: bytes) -> Wanted:
    return Wanted(tag + b" OK", None, "password", partial(expect_imap_login, tag=tag))


def _short_login(login: Login) -> tuple[Step, ...] | None:
    """The greeting and LOGIN, None where that is too long for a command. Raises a PeerError.

    LOGIN has literals, as nginx's. One line takes two replies less to wait for, so a backend that decides itself, which
    nginx knows no way to ask, gets that where name and password are such as quoted strings may hold.
    """
    tag, secret = login.tag, needed_password(login)
    if login.passed_on and (line := imap_login_line(tag, login.name, secret)) is not None:
        wanted = Wanted(tag + b" OK", None, "LOGIN command", partial(expect_imap_login, tag=tag))
        return _GREETED, (line, wanted)
    first, second, third = imap_login(tag, login.name, secret)
    if len(first) + len(second) + len(third) > IMAP_COMMAND_LIMIT:
        return None
    return _GREETED, (first, _LOGIN), (second, _USER), (third, _password(tag))


def first_steps(proxy: ProxySettings, login: Login) -> tuple[Step, ...] | None:
    """See `Protocol.first_steps`. Raises a PeerError."""
    return None if proxy.imap_id or login.mechanism is not None else _short_login(login)


def log_in(backend: Backend, login: Login) -> Talk[bytes]:
    """Log in by LOGIN, or by SASL; gives the reply for the client. Raises a PeerError."""
    if backend.server.settings.proxy.imap_id:
        yield from _introduce(backend, login)
    if login.mechanism is not None and goes_by_sasl(login):
        reply = yield from authenticate(login, login.tag + b" AUTHENTICATE", _GO_AHEAD, (None, _GREETING))
        expect_imap_login(reply, login.tag)
        return reply.data
    steps = _short_login(login)
    if steps is not None:
        return (yield steps).data
    tag, secret = login.tag, needed_password(login)
    response = plain_response(login.name, secret)
    reply = yield ((None, _GREETING), (tag + b" AUTHENTICATE PLAIN\r\n", _AUTHENTICATE))
    if reply.last_line.startswith(tag + b" "):  # it does not know PLAIN, and may take long literals
        first, second, third = imap_login(tag, login.name, secret)
        return (yield (first, _LOGIN), (second, _USER), (third, _password(tag))).data
    _LOGIN.expect(reply)
    return (yield ((response, _password(tag)),)).data
