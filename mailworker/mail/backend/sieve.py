"""STARTTLS and login to a ManageSieve backend (RFC 5804)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mailworker.mail.backend.backend import Backend, Misconfigured, Place, dovecot_xclient, needed_password
from mailworker.mail.backend.conversation import Foreseen, Talk, Wanted, anything
from mailworker.mail.backend.sasl import ACKNOWLEDGMENTS, BY_TOKEN
from mailworker.native.core import accelerator
from mailworker.wire.backend import LoginRejected, Reply, auth_plain, plain_response
from mailworker.wire.login import Login
from mailworker.wire.sasl import encode_token
from mailworker.wire.sieve import QUOTED_LIMIT, client_string
from mailworker.wire.sieve_response import (
    capabilities,
    challenge,
    expect_list,
    expect_login,
    expect_ok,
    login_offer,
)

__all__ = ["auth_plain", "first_steps", "log_in", "starttls"]

if accelerator is not None and not TYPE_CHECKING:
    auth_plain = accelerator.auth_plain

_PLAIN: Final = b'AUTHENTICATE "PLAIN" "'
_LONGEST: Final = len(_PLAIN) + QUOTED_LIMIT + len(b'"\r\n')

_GREETING = Wanted(b"OK", b'"', None, expect_list)
_STARTTLS = Wanted(b"OK", None, "STARTTLS", expect_ok)
_XCLIENT = Wanted(b"OK", None, "XCLIENT", expect_ok)
_AUTHENTICATE = Wanted(b"OK", None, "AUTHENTICATE command", anything)
# An OK without a response code; a code would have to be examined.
_WELCOME = Wanted(b'OK "', None, "AUTHENTICATE command", anything)
_USUAL_OK = re.compile(rb"OK(?: \"|\r\n)")


def starttls(_backend: Backend, _login: Login) -> Talk[None]:
    """Send STARTTLS. Raises a PeerError."""
    greeting = yield ((None, _GREETING),)
    if b"STARTTLS" not in capabilities(greeting):
        raise Misconfigured("upstream does not offer STARTTLS")
    yield ((b"STARTTLS\r\n", _STARTTLS),)


def first_steps(place: Place, login: Login) -> tuple[Foreseen, ...] | None:
    """See `Protocol.first_steps`: None unless the backend's greeting is foreseen. Raises a PeerError."""
    if place.server.settings.proxy.sieve_xclient:
        return None
    kind = place.server.sieve_greetings.expected.get(place.log.backend)
    if kind is None or kind.allows.obstacle(b"PLAIN") is not None or _goes_by_token(login):
        return None
    command = auth_plain(_PLAIN, login.name, needed_password(login).revealed, b'"\r\n', _LONGEST)
    return None if command is None else ((None, kind.known), (command, _WELCOME))


def log_in(backend: Backend, login: Login) -> Talk[bytes]:
    """Log in by PLAIN, or by a token; gives the reply for the client. Raises a PeerError."""
    by_token = _goes_by_token(login)
    mechanism = BY_TOKEN[login.method] if by_token else b"PLAIN"
    greeting = yield ((None, _GREETING),)
    offer = backend.server.sieve_greetings.allowed(backend.log.backend, greeting.data, login_offer)
    obstacle = offer.obstacle(mechanism)
    if obstacle is not None:
        raise Misconfigured(obstacle)
    if backend.server.settings.proxy.sieve_xclient and b"XCLIENT" in capabilities(greeting):
        yield from dovecot_xclient(backend, _XCLIENT)
    response = _response(login, by_token=by_token)
    reply = yield ((b'AUTHENTICATE "%b" %b' % (mechanism, response), _AUTHENTICATE),)
    if not _USUAL_OK.match(reply.data):
        reply = yield from _answer(login, reply, response, by_token=by_token)
    return reply.data


def _goes_by_token(login: Login) -> bool:
    return login.passed_on and login.method in BY_TOKEN


def _answer(login: Login, reply: Reply, response: bytes, *, by_token: bool) -> Talk[Reply]:
    """Answer challenges; gives the reply that lets the client in. Raises a PeerError."""
    asked = challenge(reply)
    if asked is not None and not (by_token and asked):  # it ignores the initial response of the command
        reply = yield ((response, _AUTHENTICATE),)
        asked = challenge(reply)
    if asked is not None and by_token:
        acknowledgment = client_string(ACKNOWLEDGMENTS[login.method]) + b"\r\n"
        reply = yield ((acknowledgment, _AUTHENTICATE),)
        raise LoginRejected(reply, reply.last_line, asked)
    expect_login(reply)
    return reply


def _response(login: Login, *, by_token: bool) -> bytes:
    secret = needed_password(login)
    if by_token:
        return client_string(encode_token(login.method, login.name, secret.revealed)) + b"\r\n"
    response = plain_response(login.name, secret)
    if len(response) <= QUOTED_LIMIT:
        return b'"%b"\r\n' % response[:-2]
    return client_string(response[:-2]) + b"\r\n"
