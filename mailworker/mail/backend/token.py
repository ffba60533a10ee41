"""AUTH and AUTHENTICATE with a token (XOAUTH2, and OAUTHBEARER of RFC 7628)."""

from __future__ import annotations

from typing import Final

from mailworker.mail.backend.backend import needed_password
from mailworker.mail.backend.conversation import Step, Talk, Wanted, anything
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.wire.backend import LoginRejected, Reply
from mailworker.wire.login import Login
from mailworker.wire.sasl import encode_token

BY_TOKEN: Final = {each: str(METHOD_NAMES[each].sasl).encode() for each in (AuthMethod.XOAUTH2, AuthMethod.OAUTHBEARER)}
"""The token mechanisms, and their names at backends."""

# The client's response to the reason of a refusal: RFC 7628 section 3.2.3, and an empty line for XOAUTH2.
ACKNOWLEDGMENTS: Final = {AuthMethod.XOAUTH2: b"", AuthMethod.OAUTHBEARER: b"AQ=="}


def log_in_by_token(
    login: Login, mechanism: AuthMethod, command: bytes, go_ahead: Wanted, *before: Step
) -> Talk[Reply]:
    """Send `command` with the mechanism, and the token; gives the reply to the token, even if it is a refusal.

    `go_ahead` is the reply that must come before the token, and before a reason; the steps of `before` come first.
    Raises LoginRejected if the backend gives a reason, and other PeerErrors.
    """
    response = encode_token(mechanism, login.name, needed_password(login).revealed)
    answer = Wanted(b"", None, "token", anything)
    asking = (b"%b %b\r\n" % (command, BY_TOKEN[mechanism]), go_ahead)
    reply = yield (*before, asking, (response + b"\r\n", answer))
    prompt, _, challenge = reply.last_line.partition(b" ")
    if prompt != go_ahead.last.rstrip():
        return reply
    reply = yield ((ACKNOWLEDGMENTS[mechanism] + b"\r\n", answer),)
    raise LoginRejected(reply, reply.last_line, challenge)
