"""STARTTLS and login to an IMAP backend (RFC 9051)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from mailworker.mail.backend.backend import Backend, Misconfigured, Place, identity, needed_password
from mailworker.mail.backend.conversation import Foreseen, Step, Talk, Wanted, anything, wanted
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
    login_at_once,
    login_pieces,
    plain_response,
)
from mailworker.wire.identity import imap_fields
from mailworker.wire.imap_greetings import LoginForms, greeted_forms, login_forms
from mailworker.wire.login import Login

__all__ = ["first_steps", "log_in", "login_at_once", "login_pieces", "starttls"]

if accelerator is not None and not TYPE_CHECKING:
    login_at_once, login_pieces = accelerator.login_at_once, accelerator.login_pieces

_GREETING = wanted(IMAP_GREETING, None)
_LOGIN = wanted(IMAP_CONTINUATION, "LOGIN command")
_AUTHENTICATE = wanted(IMAP_CONTINUATION, "AUTHENTICATE command")._replace(expect=anything)
_USER = wanted(IMAP_CONTINUATION, "user name")
_GO_AHEAD = wanted(IMAP_CONTINUATION, "AUTHENTICATE command")


def starttls(backend: Backend, login: Login) -> Talk[None]:
    """Send STARTTLS with the client's tag. Raises a PeerError."""
    yield ((None, _GREETING), (login.tag + b" STARTTLS\r\n", wanted(imap_ok(login.tag), "STARTTLS")))


def _introduce(backend: Backend, login: Login) -> Talk[frozenset[bytes]]:
    """Send the client's identity by ID if the backend lists that; gives all that it lists. The answer is passed over.

    Capabilities that were listed before TLS do not count after it. So the backend is asked for them then, and also if
    its greeting lists none.
    """
    greeting = b"" if backend.greeted else (yield from backend.greet(_GREETING))
    listed = imap_capabilities(greeting)
    if listed is None:
        capability = wanted(imap_tagged(login.tag), "CAPABILITY")
        listed = imap_capabilities((yield ((login.tag + b" CAPABILITY\r\n", capability),)).data) or frozenset()
    if b"ID" in listed:
        command = b"%b ID %b\r\n" % (login.tag, imap_fields(identity(backend, login.client_id)))
        answer = wanted(imap_tagged(login.tag), "ID")
        yield ((command, answer),)
    return listed


@lru_cache(maxsize=64)  # clients have few tags and many logins
def _verdict(tag: bytes, command: str) -> Wanted:
    return wanted(imap_ok(tag, judges=True), command)


def _in_one_line(login: Login) -> Step | None:
    """LOGIN with quoted strings, None if these cannot hold the name and the password."""
    line = imap_login_line(login.tag, login.name, needed_password(login))
    return None if line is None else (line, _verdict(login.tag, "LOGIN command"))


def _in_one_piece(login: Login) -> Step | None:
    """LOGIN with literals that need not wait for the backend, None if it may not be sent."""
    command = login_at_once(login.tag, login.name, needed_password(login).revealed, IMAP_COMMAND_LIMIT)
    return None if command is None else (command, _verdict(login.tag, "LOGIN command"))


def _in_pieces(login: Login) -> tuple[Step, ...] | None:
    """LOGIN with literals that wait for the backend, as nginx sends it, None if it may not be sent."""
    pieces = login_pieces(login.tag, login.name, needed_password(login).revealed, IMAP_COMMAND_LIMIT)
    if pieces is None:
        return None
    first, second, third = pieces
    return (first, _LOGIN), (second, _USER), (third, _verdict(login.tag, "password"))


def _by_plain(login: Login, forms: LoginForms) -> tuple[Step, ...]:
    """AUTHENTICATE PLAIN; the response waits unless the backend takes it in the line. Raises a PeerError."""
    if forms.obstacle is not None:
        raise Misconfigured(forms.obstacle)
    command, response = login.tag + b" AUTHENTICATE PLAIN", plain_response(login.name, needed_password(login))
    line = b"%b %b" % (command, response)
    if forms.with_response and len(line) <= IMAP_COMMAND_LIMIT:
        return ((line, _verdict(login.tag, "AUTHENTICATE command")),)
    return (command + b"\r\n", _GO_AHEAD), (response, _verdict(login.tag, "password"))


def first_steps(place: Place, login: Login) -> tuple[Foreseen, ...] | None:
    """See `Protocol.first_steps`: None unless the backend's greeting is foreseen. Raises a PeerError."""
    server = place.server
    if server.settings.proxy.imap_id or login.mechanism is not None:
        return None
    kind = server.greetings.expected.get(place.log.backend)
    if kind is None:
        return None
    if login.passed_on and kind.allows.by_login and (line := _in_one_line(login)) is not None:
        return (None, kind.known), line
    if kind.allows.at_once:
        step = _in_one_piece(login)
        return None if step is None else ((None, kind.known), step)
    steps = _in_pieces(login) if kind.allows.by_login else None
    return None if steps is None else ((None, kind.known), *steps)


def _forms(backend: Backend) -> Talk[LoginForms]:
    """The forms of a login after the backend's greeting; one that came in clear before TLS does not count."""
    if backend.greeted:
        return login_forms(None)
    greeting = yield from backend.greet(_GREETING)
    return backend.server.greetings.allowed(backend.log.backend, greeting, greeted_forms)


def log_in(backend: Backend, login: Login) -> Talk[bytes]:
    """Log in by LOGIN, or by SASL; gives the reply for the client. Raises a PeerError."""
    listed = (yield from _introduce(backend, login)) if backend.server.settings.proxy.imap_id else None
    if goes_by_sasl(login):
        reply = yield from authenticate(login, login.tag + b" AUTHENTICATE", _GO_AHEAD, (None, _GREETING))
        imap_ok(login.tag, judges=True).expect(reply)
        return reply.data
    forms = (yield from _forms(backend)) if listed is None else login_forms(listed)
    if not forms.by_login:
        return (yield _by_plain(login, forms)).data
    if login.passed_on and (line := _in_one_line(login)) is not None:
        return (yield (line,)).data
    if forms.at_once and (step := _in_one_piece(login)) is not None:
        return (yield (step,)).data
    steps = _in_pieces(login)
    return (yield from _log_in_at_length(login)) if steps is None else (yield steps).data


def _log_in_at_length(login: Login) -> Talk[bytes]:
    """Log in with what is too long for a command. Raises a PeerError, also for a NUL."""
    tag, secret = login.tag, needed_password(login)
    response = plain_response(login.name, secret)
    reply = yield ((tag + b" AUTHENTICATE PLAIN\r\n", _AUTHENTICATE),)
    if reply.last_line.startswith(tag + b" "):  # the backend does not know PLAIN, but may accept long literals
        first, second, third = imap_login(tag, login.name, secret)
        return (yield (first, _LOGIN), (second, _USER), (third, _verdict(tag, "password"))).data
    _LOGIN.expect(reply)
    return (yield ((response, _verdict(tag, "password")),)).data
