"""STLS and login to a POP3 backend (RFC 1939, 2595, 5034)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailworker.mail.backend.backend import Backend, Place, identity, needed_password
from mailworker.mail.backend.conversation import Step, Talk, Wanted, anything, wanted
from mailworker.mail.backend.sasl import authenticate, goes_by_sasl
from mailworker.native.core import accelerator
from mailworker.wire.backend import (
    POP3_COMMAND_LIMIT,
    POP3_GO_AHEAD,
    POP3_OK,
    command_line,
    plain_response,
    pop3_login,
)
from mailworker.wire.identity import dovecot_attributes
from mailworker.wire.login import Login

__all__ = ["command_line", "first_steps", "log_in", "starttls"]

if accelerator is not None and not TYPE_CHECKING:
    command_line = accelerator.command_line

_JUDGED = POP3_OK._replace(judges=True)
_GREETING = wanted(POP3_OK, None)
_GREETED: Step = None, _GREETING
_TAKES_XCLIENT = b"+OK [XCLIENT]"
_XCLIENT = wanted(POP3_OK, "XCLIENT")
_STLS = wanted(POP3_OK, "STLS")
_USER = wanted(_JUDGED, "user name")
_AUTH = Wanted(b"+", None, "AUTH", anything)
_PASSWORD = wanted(_JUDGED, "password")
_GO_AHEAD = wanted(POP3_GO_AHEAD, "AUTH")


def starttls(backend: Backend, _login: Login) -> Talk[None]:
    """Send STLS. Raises a PeerError."""
    if backend.server.settings.proxy.pop3_xclient:
        yield from backend.greet(_GREETING)  # only the greeting in clear lists XCLIENT
    yield (_GREETED, (b"STLS\r\n", _STLS))


def _introduce(backend: Backend) -> Talk[None]:
    """Send the client's identity by XCLIENT if the greeting lists it."""
    if not (yield from backend.greet(_GREETING)).upper().startswith(_TAKES_XCLIENT):
        return
    attributes = dovecot_attributes(identity(backend))
    if attributes:
        yield ((b"XCLIENT %b\r\n" % attributes, _XCLIENT),)


def _short_login(login: Login) -> tuple[Step, ...] | None:
    """The greeting, USER and PASS, None if one of them is too long for a command. Raises a PeerError."""
    secret = needed_password(login)
    user, password = command_line(b"USER ", login.name), command_line(b"PASS ", secret.reveal())
    if user is None or password is None:
        user, password = pop3_login(login.name, secret)  # raises the error
    if len(user) > POP3_COMMAND_LIMIT or len(password) > POP3_COMMAND_LIMIT:
        return None
    return _GREETED, (user, _USER), (password, _PASSWORD)


def first_steps(place: Place, login: Login) -> tuple[Step, ...] | None:
    """See `Protocol.first_steps`. Raises a PeerError."""
    return None if place.server.settings.proxy.pop3_xclient or login.mechanism is not None else _short_login(login)


def log_in(backend: Backend, login: Login) -> Talk[bytes]:
    """Log in by USER and PASS, or by SASL; gives the reply for the client. Raises a PeerError."""
    if backend.server.settings.proxy.pop3_xclient:
        yield from _introduce(backend)
    if login.mechanism is not None and goes_by_sasl(login):
        reply = yield from authenticate(login, b"AUTH", _GO_AHEAD, _GREETED)
        _PASSWORD.expect(reply)
        return reply.data
    steps = _short_login(login)
    if steps is not None:
        return (yield steps).data
    secret = needed_password(login)
    response = plain_response(login.name, secret)
    reply = yield (_GREETED, (b"AUTH PLAIN\r\n", _AUTH))
    if reply.data.startswith(b"-"):  # the backend does not know AUTH, but may accept long lines
        user, password = pop3_login(login.name, secret)
        return (yield (user, _USER), (password, _PASSWORD)).data
    _GO_AHEAD.expect(reply)
    return (yield ((response, _PASSWORD),)).data
