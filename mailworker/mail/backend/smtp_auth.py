"""AUTH at an SMTP backend that decides about the login (auth_upstream): nobody is logged in but by its 235."""

from __future__ import annotations

from base64 import b64encode

from mailworker.errors import Party, ProtocolError
from mailworker.mail.backend.backend import Backend, Wanted, needed_password
from mailworker.mail.backend.token import BY_TOKEN, log_in_by_token
from mailworker.wire.backend import expect_smtp_code, judged, smtp_auth_plain
from mailworker.wire.login import Login

_GO_AHEAD = Wanted(b"334 ", None, "AUTH", judged(lambda reply: expect_smtp_code(reply, b"334")))
_YES = Wanted(b"235 ", None, "AUTH", judged(lambda reply: expect_smtp_code(reply, b"235")))


async def pass_on(backend: Backend, login: Login, offered: frozenset[bytes]) -> None:
    """Let the backend judge what the client has sent, by a mechanism that it has `offered`.

    Raises LoginRejected for its no, and another PeerError where it cannot tell.
    """
    if login.method in BY_TOKEN:
        _demand(BY_TOKEN[login.method], offered)
        _YES.expect(await log_in_by_token(backend, login, b"AUTH", _GO_AHEAD))
        return
    if b"LOGIN" in offered and b"PLAIN" not in offered:
        secret = needed_password(login).reveal()
        lines: tuple[bytes, ...] = (b"AUTH LOGIN\r\n", b64encode(login.name) + b"\r\n", b64encode(secret) + b"\r\n")
    else:
        _demand(b"PLAIN", offered)
        lines = smtp_auth_plain(login.name, needed_password(login))
    answers = (_GO_AHEAD,) * (len(lines) - 1) + (_YES,)
    await backend.converse(*zip(lines, answers, strict=True))


def _demand(mechanism: bytes, offered: frozenset[bytes]) -> None:
    if mechanism not in offered:
        raise ProtocolError(Party.BACKEND, f"upstream does not offer AUTH {mechanism.decode()}")
