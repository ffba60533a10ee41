"""AUTH and AUTHENTICATE at a backend, with the mechanism that a login has for it."""

from __future__ import annotations

from typing import Final

from mailworker.mail.backend.backend import needed_password
from mailworker.mail.backend.conversation import Step, Talk, Wanted, anything
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.wire.backend import LoginRejected, Reply, login_responses, plain_response
from mailworker.wire.login import Login
from mailworker.wire.sasl import encode_token

BY_TOKEN: Final = {each: str(METHOD_NAMES[each].sasl).encode() for each in (AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER)}
"""The mechanisms with a token (XOAUTH2, and OAUTHBEARER of RFC 7628), and their names at backends."""

ACKNOWLEDGMENTS: Final = {AuthMethod.XOAUTH2: b"", AuthMethod.OAUTHBEARER: b"AQ=="}
"""The client's response to the reason of a refusal: RFC 7628 section 3.2.3, and an empty line for XOAUTH2."""

_VERDICT: Final = Wanted(b"", None, "password", anything)
_TOKEN_VERDICT: Final = Wanted(b"", None, "token", anything)


def goes_by_sasl(login: Login) -> bool:
    """Whether the login has a mechanism, instead of the protocol's usual login command."""
    return login.mechanism is not None and login.mechanism is not AuthMethod.NONE


def authenticate(login: Login, command: bytes, go_ahead: Wanted, *before: Step) -> Talk[Reply]:
    """Send `command` with the mechanism, and the responses; gives the reply to the last one, even if it is a refusal.

    `go_ahead` is the reply that must come before each response; the steps of `before` come first. There is no initial
    response in the line of the command, as not all backends accept it there.

    Raises a PeerError: LoginRejected if the backend gives a reason for refusing a token.
    """
    mechanism = login.mechanism
    if mechanism in BY_TOKEN:
        return (yield from _by_token(login, mechanism, command, go_ahead, *before))
    secret = needed_password(login)
    if mechanism is AuthMethod.LOGIN:
        name, password = login_responses(login.name, secret)
        asking: tuple[Step, ...] = (command + b" LOGIN\r\n", go_ahead), (name, go_ahead)
    else:
        password = plain_response(login.name, secret, login.master)
        asking = ((command + b" PLAIN\r\n", go_ahead),)
    return (yield (*before, *asking, (password, _VERDICT)))


def _by_token(login: Login, mechanism: AuthMethod, command: bytes, go_ahead: Wanted, *before: Step) -> Talk[Reply]:
    response = encode_token(mechanism, login.name, needed_password(login).revealed)
    asking = (b"%b %b\r\n" % (command, BY_TOKEN[mechanism]), go_ahead)
    reply = yield (*before, asking, (response + b"\r\n", _TOKEN_VERDICT))
    prompt, _, challenge = reply.last_line.partition(b" ")
    if prompt != go_ahead.last.rstrip():
        return reply
    reply = yield ((ACKNOWLEDGMENTS[mechanism] + b"\r\n", _TOKEN_VERDICT),)
    raise LoginRejected(reply, reply.last_line, challenge)
