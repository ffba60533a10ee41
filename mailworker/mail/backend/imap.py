"""STARTTLS and login to an IMAP backend (RFC 9051)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mailworker.mail.backend.backend import Backend, Place, identity, needed_password
from mailworker.mail.backend.conversation import Step, Talk, Wanted, anything, wanted
from mailworker.mail.backend.sasl import authenticate, goes_by_sasl
from mailworker.native.core import accelerator
from mailworker.wire.backend import (
    IMAP_COMMAND_LIMIT,
    IMAP_CONTINUATION,
    IMAP_GREETING,
    imap_capabilities,
    imap_login,
    imap_login_line,
    imap_ok,
    imap_tagged,
    login_pieces,
    plain_response,
)
from mailworker.wire.identity import imap_fields
from mailworker.wire.login import Login

__all__ = ["first_steps", "log_in", "login_pieces", "starttls"]

if accelerator is not None and not TYPE_CHECKING:
    login_pieces = accelerator.login_pieces

_GREETING = wanted(IMAP_GREETING, None)
_GREETED: Step = None, _GREETING
_LOGIN = wanted(IMAP_CONTINUATION, "LOGIN command")
_AUTHENTICATE = wanted(IMAP_CONTINUATION, "AUTHENTICATE command")._replace(expect=anything)
_USER = wanted(IMAP_CONTINUATION, "user name")
_GO_AHEAD = wanted(IMAP_CONTINUATION, "AUTHENTICATE command")


def starttls(backend: Backend, login: Login) -> Talk[None]:
    """Send STARTTLS with the client's tag. Raises a PeerError."""
    yield ((None, _GREETING), (login.tag + b" STARTTLS\r\n", wanted(imap_ok(login.tag), "STARTTLS")))


def _introduce(backend: Backend, login: Login) -> Talk[None]:
    """Send the client's identity by ID if the backend lists it; its answer does not matter.

    Capabilities that were listed before TLS do not count after it. So the backend is asked for them then, and also if
    its greeting lists none.
    """
    greeting = b"" if backend.greeted else (yield from backend.greet(_GREETING))
    listed = imap_capabilities(greeting)
    if listed is None:
        capability = wanted(imap_tagged(login.tag), "CAPABILITY")
        listed = imap_capabilities((yield ((login.tag + b" CAPABILITY\r\n", capability),)).data)
    if b"ID" in (listed or ()):
        command = b"%b ID %b\r\n" % (login.tag, imap_fields(identity(backend, login.client_id)))
        answer = wanted(imap_tagged(login.tag), "ID")
        yield ((command, answer),)


@lru_cache(maxsize=64)  # clients have few tags and many logins
def _password(tag: bytes) -> Wanted:
    return wanted(imap_ok(tag, judges=True), "password")


def _short_login(login: Login) -> tuple[Step, ...] | None:
    """The greeting and LOGIN, None if that is too long for a command. Raises a PeerError.

    LOGIN has literals, like nginx's. A backend that decides itself, which nginx does not support, gets LOGIN in one
    line if name and password fit into quoted strings: that saves waiting for two replies.
    """
    tag, secret = login.tag, needed_password(login)
    if login.passed_on and (line := imap_login_line(tag, login.name, secret)) is not None:
        return _GREETED, (line, wanted(imap_ok(tag, judges=True), "LOGIN command"))
    pieces = login_pieces(tag, login.name, secret.reveal(), IMAP_COMMAND_LIMIT)
    if pieces is None:
        imap_login(tag, login.name, secret)  # raises if that is because of a NUL
        return None
    first, second, third = pieces
    return _GREETED, (first, _LOGIN), (second, _USER), (third, _password(tag))


def first_steps(place: Place, login: Login) -> tuple[Step, ...] | None:
    """See `Protocol.first_steps`. Raises a PeerError."""
    return None if place.server.settings.proxy.imap_id or login.mechanism is not None else _short_login(login)


def log_in(backend: Backend, login: Login) -> Talk[bytes]:
    """Log in by LOGIN, or by SASL; gives the reply for the client. Raises a PeerError."""
    if backend.server.settings.proxy.imap_id:
        yield from _introduce(backend, login)
    if login.mechanism is not None and goes_by_sasl(login):
        reply = yield from authenticate(login, login.tag + b" AUTHENTICATE", _GO_AHEAD, (None, _GREETING))
        imap_ok(login.tag, judges=True).expect(reply)
        return reply.data
    steps = _short_login(login)
    if steps is not None:
        return (yield steps).data
    tag, secret = login.tag, needed_password(login)
    response = plain_response(login.name, secret)
    reply = yield ((None, _GREETING), (tag + b" AUTHENTICATE PLAIN\r\n", _AUTHENTICATE))
    if reply.last_line.startswith(tag + b" "):  # the backend does not know PLAIN, but may accept long literals
        first, second, third = imap_login(tag, login.name, secret)
        return (yield (first, _LOGIN), (second, _USER), (third, _password(tag))).data
    _LOGIN.expect(reply)
    return (yield ((response, _password(tag)),)).data
