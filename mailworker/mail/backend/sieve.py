"""STARTTLS and login at a ManageSieve backend (RFC 5804)."""

from __future__ import annotations

from functools import lru_cache

from mailworker.mail.backend.backend import Backend, Misconfigured, Wanted, anything, needed_password
from mailworker.mail.backend.token import ACKNOWLEDGMENTS, BY_TOKEN
from mailworker.wire.backend import LoginRejected, Reply, plain_response
from mailworker.wire.login import Login
from mailworker.wire.sasl import encode_token
from mailworker.wire.sieve import client_string
from mailworker.wire.sieve_response import capabilities, challenge, expect_list, expect_login, expect_ok

_GREETING = Wanted(b"OK", b'"', None, expect_list)
_STARTTLS = Wanted(b"OK", None, "STARTTLS", expect_ok)
_AUTHENTICATE = Wanted(b"OK", None, "AUTHENTICATE command", anything)


async def starttls(backend: Backend, _login: Login) -> None:
    """Ask by STARTTLS. Raises a PeerError."""
    if b"STARTTLS" not in await _listed(backend):
        raise Misconfigured("upstream does not offer STARTTLS")
    await backend.converse((b"STARTTLS\r\n", _STARTTLS))


async def log_in(backend: Backend, login: Login) -> bytes:
    """Log in by PLAIN, or a token; gives the reply for the client. Raises a PeerError."""
    by_token = login.passed_on and login.method in BY_TOKEN
    mechanism = BY_TOKEN[login.method] if by_token else b"PLAIN"
    _demand(mechanism, await _listed(backend))
    secret = needed_password(login)
    if by_token:
        response = client_string(encode_token(login.method, login.name, secret.reveal())) + b"\r\n"
    else:
        response = client_string(plain_response(login.name, secret)[:-2]) + b"\r\n"
    reply = await backend.converse((b'AUTHENTICATE "%b" %b' % (mechanism, response), _AUTHENTICATE))
    asked = challenge(reply)
    if asked is not None and not (by_token and asked):  # it does not look at what came with the command
        reply = await backend.converse((response, _AUTHENTICATE))
        asked = challenge(reply)
    if asked is not None and by_token:
        acknowledgment = client_string(ACKNOWLEDGMENTS[login.method]) + b"\r\n"
        reply = await backend.converse((acknowledgment, _AUTHENTICATE))
        raise LoginRejected(reply, reply.last_line, asked)
    expect_login(reply)
    return reply.data


async def _listed(backend: Backend) -> dict[bytes, bytes]:
    """What the greeting lists."""
    return _capabilities((await backend.converse((None, _GREETING))).data)


@lru_cache(maxsize=64)  # there are few backends and many logins
def _capabilities(greeting: bytes) -> dict[bytes, bytes]:
    return capabilities(Reply(greeting))


def _demand(mechanism: bytes, listed: dict[bytes, bytes]) -> None:
    """Nobody is told a password who cannot use it. Cyrus lists no mechanisms where it wants TLS."""
    offered = listed.get(b"SASL")
    if offered is None and b"STARTTLS" in listed:
        raise Misconfigured("upstream offers no login before STARTTLS")
    if offered is not None and mechanism not in offered.upper().split():
        raise Misconfigured(f"upstream does not offer AUTHENTICATE {mechanism.decode()}")
