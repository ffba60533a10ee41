"""AUTH and AUTHENTICATE at a backend, with the mechanism that a login has for it."""

from __future__ import annotations

from typing import Final

from mailworker.mail.backend.backend import needed_password
from mailworker.mail.backend.conversation import Step, Talk, Wanted, anything
from mailworker.mail.backend.token import BY_TOKEN, log_in_by_token
from mailworker.model import AuthMethod
from mailworker.wire.backend import Reply, login_responses, plain_response
from mailworker.wire.login import Login

_VERDICT: Final = Wanted(b"", None, "password", anything)


def goes_by_sasl(login: Login) -> bool:
    """Whether the login has a mechanism, instead of the protocol's usual login command."""
    return login.mechanism is not None and login.mechanism is not AuthMethod.NONE


def authenticate(login: Login, command: bytes, go_ahead: Wanted, *before: Step) -> Talk[Reply]:
    """Send `command` with the mechanism, and the responses; gives the reply to the last one, even if it is a refusal.

    `go_ahead` is the reply that must come before each response; the steps of `before` come first. There is no initial
    response in the line of the command, as not all backends accept it there. Raises a PeerError.
    """
    mechanism = login.mechanism
    if mechanism in BY_TOKEN:
        return (yield from log_in_by_token(login, mechanism, command, go_ahead, *before))
    secret = needed_password(login)
    if mechanism is AuthMethod.LOGIN:
        name, password = login_responses(login.name, secret)
        asking: tuple[Step, ...] = (command + b" LOGIN\r\n", go_ahead), (name, go_ahead)
    else:
        password = plain_response(login.name, secret, login.master)
        asking = ((command + b" PLAIN\r\n", go_ahead),)
    return (yield (*before, *asking, (password, _VERDICT)))
