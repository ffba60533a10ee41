"""STLS and login to a POP3 backend (RFC 1939, 2595, 5034)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, cast

from mailworker.errors import ConnectionLost, PeerError, TimedOut
from mailworker.mail.backend.backend import (
    NO_HEADER,
    Backend,
    Dispensable,
    Misconfigured,
    Place,
    dovecot_xclient,
    needed_password,
)
from mailworker.mail.backend.conversation import READING, Foreseen, Step, Talk, Wanted, anything, wanted
from mailworker.mail.backend.sasl import authenticate, goes_by_sasl
from mailworker.native.core import accelerator
from mailworker.wire.backend import (
    POP3_COMMAND_LIMIT,
    POP3_GO_AHEAD,
    POP3_OK,
    LoginRejected,
    Reply,
    TooLongReply,
    auth_plain,
    command_line,
    plain_response,
    pop3_login,
)
from mailworker.wire.login import Login
from mailworker.wire.pop3_greetings import takes_plain, user_obstacle

__all__ = ["auth_plain", "command_line", "first_steps", "log_in", "starttls"]

if accelerator is not None and not TYPE_CHECKING:
    auth_plain, command_line = accelerator.auth_plain, accelerator.command_line

# Seconds in which a backend has to give its list: no login waits longer for a question that it can do without.
_PATIENCE: Final = 5.0

# Seconds after which a refusal with a reason, too, is taken for a sign that the backend may list something else now.
_TRUST: Final = 60.0

_JUDGED = POP3_OK._replace(judges=True)
_GREETING = wanted(POP3_OK, None)
_GREETED: Step = None, _GREETING
_WITH_REASON = b"-ERR ["
_TAKES_XCLIENT = b"+OK [XCLIENT]"
_XCLIENT = wanted(POP3_OK, "XCLIENT")
_STLS = wanted(POP3_OK, "STLS")
_AUTH = Wanted(b"+", None, "AUTH", anything)
_PASSWORD = wanted(_JUDGED, "password")
_PLAIN = wanted(_JUDGED, "AUTH")._replace(expect=anything)
_GO_AHEAD = wanted(POP3_GO_AHEAD, "AUTH")
_CAPA = wanted(POP3_OK, "CAPA")._replace(expect=anything)
_LISTED = Wanted(b"", None, "CAPA", anything)


class _UserRefused(LoginRejected):
    """The refusal of USER, which need not be one of this name."""


def _expect_user(reply: Reply) -> None:
    try:
        _JUDGED.expect(reply)
    except LoginRejected as error:
        raise (_UserRefused(reply, error.text) if reply.refuses else error) from None


_USER = Wanted(POP3_OK.last, None, "user name", _expect_user)


def starttls(backend: Backend, _login: Login) -> Talk[None]:
    """Send STLS. Raises a PeerError."""
    if backend.server.settings.proxy.pop3_xclient:
        yield from backend.greet(_GREETING)  # only the greeting in clear lists XCLIENT
    yield (_GREETED, (b"STLS\r\n", _STLS))


def _introduce(backend: Backend) -> Talk[None]:
    """Send the client's identity if the greeting lists XCLIENT. Raises a PeerError."""
    if (yield from backend.greet(_GREETING)).upper().startswith(_TAKES_XCLIENT):
        yield from dovecot_xclient(backend, _XCLIENT)


def _capabilities(backend: Backend) -> Talk[list[bytes]]:
    """The lines of the reply to CAPA, none for a refusal; each of them is a reply here. Raises a PeerError."""
    stream, deadline = backend.stream, backend.stream.deadline
    stream.deadline = min(deadline, stream.loop.now + _PATIENCE)
    reply, room, lines = (yield ((b"CAPA\r\n", _CAPA),)), backend.server.settings.proxy.buffer, list[bytes]()
    lists = reply.data.upper().startswith(POP3_OK.last)
    while lists and (line := (yield ((None, _LISTED),)).data) != b".\r\n":
        lines.append(line)
        room -= len(line)
        if room < 0:
            raise TooLongReply(b"".join(lines))
    stream.deadline = deadline
    return lines


def _takes_plain(backend: Backend) -> Talk[bool]:
    """Whether AUTH PLAIN may be sent at once, for a backend that has not greeted yet.

    Raises a PeerError: Dispensable if the backend does not bear to be asked.
    """
    greetings, name = backend.server.pop3_greetings, backend.log.backend
    if name in greetings.waiting:
        return False
    greeting = yield from backend.greet(_GREETING)
    takes = greetings.hear(name, greeting)
    if takes is None:
        try:
            takes = takes_plain((yield from _capabilities(backend)))
        except (ConnectionLost, TimedOut, TooLongReply) as error:
            raise Dispensable(error) from None
        if takes:
            greetings.learn(name, greeting, backend.stream.loop.now)
    return takes


def _may_be_asked(backend: Backend) -> bool:
    """Whether a backend lists the same for all clients in its greeting's connection.

    Not if it hears who the client is, as it may trust clients who came by TLS; nor if the greeting came before TLS.
    """
    proxy = backend.server.settings.proxy
    return not (backend.greeted or proxy.pop3_xclient or proxy.proxy_protocol is not NO_HEADER)


def _in_one_line(login: Login) -> Step | None:
    """AUTH PLAIN with its response, None if it may not be sent so: USER and PASS have the rules for that."""
    line = auth_plain(b"AUTH PLAIN ", login.name, needed_password(login).revealed, b"\r\n", POP3_COMMAND_LIMIT)
    return None if line is None else (line, _PLAIN)


def _one_by_one(login: Login) -> tuple[Step, Step] | None:
    """USER and PASS, None if one of them is too long for a command. Raises a PeerError."""
    secret = needed_password(login)
    user, password = command_line(b"USER ", login.name), command_line(b"PASS ", secret.revealed)
    if user is None or password is None:
        user, password = pop3_login(login.name, secret)  # raises the error
    if len(user) > POP3_COMMAND_LIMIT or len(password) > POP3_COMMAND_LIMIT:
        return None
    return (user, _USER), (password, _PASSWORD)


def first_steps(place: Place, login: Login) -> tuple[Foreseen, ...] | None:
    """See `Protocol.first_steps`: None unless the backend's greeting is foreseen, or does not matter.

    Raises a PeerError.
    """
    server, name = place.server, place.log.backend
    if server.settings.proxy.pop3_xclient or login.mechanism is not None:
        return None
    greeted: Foreseen | None = server.pop3_greetings.expected.get(name)
    if greeted is not None:
        step = _in_one_line(login)
        if step is not None:
            return greeted, step
    elif name in server.pop3_greetings.waiting:
        greeted = _GREETED
    steps = None if greeted is None else _one_by_one(login)
    return None if greeted is None or steps is None else (greeted, *steps)


def _foreseen(backend: Backend, login: Login) -> Talk[bytes | None]:
    """Go on with the steps that were foreseen for this login; None if there are none, or not for this greeting."""
    steps = backend.foreseen
    if not steps:
        return None
    if steps[0] is not _GREETED:
        if (yield from backend.greet(_GREETING)) not in steps[0][1].last:
            return None
        steps = steps[1:]
    said = cast("tuple[Step, ...]", steps)
    return (yield from (_by_plain(backend, *said) if said[-1][1] is _PLAIN else _by_user(backend, login, *said)))


def _by_plain(backend: Backend, *steps: Step) -> Talk[bytes]:
    """Log in by AUTH PLAIN. A refusal may mean that the backend does not take that any more."""
    reply = yield steps
    data = reply.data.upper()
    if not data.startswith(POP3_OK.last):
        since = backend.stream.loop.now - _TRUST if data.startswith(_WITH_REASON) else inf
        backend.server.pop3_greetings.forget(backend.log.backend, since)
    _JUDGED.expect(reply)
    return reply.data


def _by_user(backend: Backend, login: Login, *steps: Step) -> Talk[bytes]:
    """Log in by USER and PASS. A backend that refuses USER is asked why; it may take AUTH PLAIN."""
    try:
        return (yield steps).data
    except _UserRefused as error:
        refusal = error
    try:
        listed = yield from _capabilities(backend)
    except PeerError:
        raise refusal from None
    finally:
        backend.log.action = READING
    obstacle, line = user_obstacle(listed, refusal.text), _in_one_line(login)
    if obstacle is None:
        raise refusal
    if line is None or not takes_plain(listed):
        raise Misconfigured(obstacle)
    return (yield from _by_plain(backend, line))


def log_in(backend: Backend, login: Login) -> Talk[bytes]:
    """Log in by AUTH PLAIN, by USER and PASS, or by SASL; gives the reply for the client. Raises a PeerError."""
    asks = _may_be_asked(backend) and login.mechanism is None
    foreseen = yield from _foreseen(backend, login)
    if foreseen is not None:
        return foreseen
    if backend.server.settings.proxy.pop3_xclient:
        yield from _introduce(backend)
    if goes_by_sasl(login):
        reply = yield from authenticate(login, b"AUTH", _GO_AHEAD, _GREETED)
        _PASSWORD.expect(reply)
        return reply.data
    steps = _one_by_one(login)
    if steps is None:
        return (yield from _log_in_at_length(backend, login))
    if asks and (line := _in_one_line(login)) is not None and (yield from _takes_plain(backend)):
        return (yield from _by_plain(backend, line))
    return (yield from _by_user(backend, login, _GREETED, *steps))


def _log_in_at_length(backend: Backend, login: Login) -> Talk[bytes]:
    """Log in with what is too long for a command. Raises a PeerError."""
    secret = needed_password(login)
    response = plain_response(login.name, secret)
    reply = yield (_GREETED, (b"AUTH PLAIN\r\n", _AUTH))
    if reply.data.startswith(b"-"):  # the backend does not know AUTH, but may accept long lines
        user, password = pop3_login(login.name, secret)
        return (yield from _by_user(backend, login, (user, _USER), (password, _PASSWORD)))
    _GO_AHEAD.expect(reply)
    return (yield ((response, _PASSWORD),)).data
