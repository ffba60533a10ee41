"""The SASL exchange with a client, the same in all protocols (nginx's and freenginx's mechanisms)."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING

from mailworker.errors import ProtocolError
from mailworker.event.copies import copied
from mailworker.mail.dialogue.dialogue import AnyDialogue, Exchange, LoginRefused
from mailworker.mail.dialogue.offer import NoLogin
from mailworker.model import METHOD_NAMES, AuthMethod
from mailworker.native.core import accelerator
from mailworker.wire.auth_response import Rejected
from mailworker.wire.command import InvalidCommand, TooLongCommand
from mailworker.wire.login import Login
from mailworker.wire.sasl import (
    PASSWORD_PROMPT,
    USERNAME_PROMPT,
    check_digest,
    decode,
    decode_cram_md5,
    decode_oauthbearer,
    decode_plain,
    decode_xoauth2,
    foreign_mechanism,
    mechanism_named,
    plain_words,
)
from mailworker.wire.secret import Secret

__all__ = ["by_login", "by_plain", "exchange", "failure", "plain_words", "usual_login"]

if accelerator is not None and not TYPE_CHECKING:
    plain_words = accelerator.plain_words


def exchange(dialogue: AnyDialogue, arguments: tuple[bytes, ...]) -> Exchange:
    """The exchange of AUTH or AUTHENTICATE with its `arguments`: the mechanism's name and maybe an initial response.

    PLAIN and LOGIN are always accepted, as in nginx, and clients rely on it; other mechanisms only if they are enabled.
    Raises ProtocolError if the client must get the reply to an invalid command.
    """
    method = mechanism_named(arguments[0])
    initial = arguments[1] if len(arguments) > 1 else None
    if method is None:
        raise NoLogin(f"mechanism{foreign_mechanism(arguments[0])} is not known")
    if len(arguments) > 2:
        raise NoLogin(f"mechanism {METHOD_NAMES[method].sasl} with invalid arguments")
    return _EXCHANGES[method](dialogue, initial)


def by_plain(response: bytes) -> Login | None:
    """The login of a PLAIN response without another authorization identity; None for any other response."""
    words = plain_words(response)
    if words is not None:
        authzid, name, password = words
        return usual_login(name, password) if not authzid or authzid == name else None
    try:
        authzid, name, secret = decode_plain(response)
    except ProtocolError:
        return None
    return _copy(_BY_PLAIN, name, secret) if authzid in (b"", name) else None


def by_login(name: bytes, password: bytes) -> Login | None:
    """The login of two LOGIN responses; None if one of them is invalid."""
    method = AuthMethod.LOGIN
    try:
        return _copy(_BY_LOGIN, decode(name, method), Secret(decode(password, method)))
    except ProtocolError:
        return None


def usual_login(name: bytes, password: bytes) -> Login:
    """The login by a name and a password that are given decoded."""
    login, secret = copied(_BY_PLAIN), copied(_SECRET)  # without any calls of Python, as most logins take this way
    secret.revealed = password
    login.name, login.password = name, secret
    return login


# Patterns of logins that have only a name and a password, and of that password.
_BY_PLAIN, _BY_LOGIN = Login(AuthMethod.PLAIN, b""), Login(AuthMethod.LOGIN, b"")
_SECRET = Secret(b"")


def _copy(pattern: Login, name: bytes, password: Secret) -> Login:
    login = copied(pattern)
    login.name, login.password = name, password
    return login


def _plain(dialogue: AnyDialogue, initial: bytes | None) -> Exchange:
    response = (yield b"") if initial is None else initial
    if (login := by_plain(response)) is not None:
        return login
    authzid, name, password = decode_plain(response)
    if dialogue.server.login_source.authzid:
        return Login(AuthMethod.PLAIN, name, password, authzid=authzid)
    dialogue.log.login = name
    raise LoginRefused("client sent another authorization identity in AUTH PLAIN command", _ANOTHER_IDENTITY)


def _login(dialogue: AnyDialogue, initial: bytes | None) -> Exchange:
    name = decode((yield USERNAME_PROMPT) if initial is None else initial, AuthMethod.LOGIN)
    dialogue.log.login = name
    return Login(AuthMethod.LOGIN, name, Secret(decode((yield PASSWORD_PROMPT), AuthMethod.LOGIN)))


def _cram_md5(dialogue: AnyDialogue, initial: bytes | None) -> Exchange:
    _demand_enabled(dialogue, AuthMethod.CRAM_MD5)
    if initial is not None:
        raise NoLogin("mechanism CRAM-MD5 with an initial response")
    salt = dialogue.new_salt()
    name, digest = decode_cram_md5((yield b64encode(salt)))
    dialogue.log.login = name
    check_digest(digest)
    return Login(AuthMethod.CRAM_MD5, name, digest, salt)


def _external(dialogue: AnyDialogue, initial: bytes | None) -> Exchange:
    _demand_enabled(dialogue, AuthMethod.EXTERNAL)
    response = (yield USERNAME_PROMPT) if initial is None else initial
    return Login(AuthMethod.EXTERNAL, decode(response, AuthMethod.EXTERNAL))


def _xoauth2(dialogue: AnyDialogue, initial: bytes | None) -> Exchange:
    _demand_enabled(dialogue, AuthMethod.XOAUTH2)
    name, token = decode_xoauth2((yield b"") if initial is None else initial)
    return Login(AuthMethod.XOAUTH2, name, token)


def _oauthbearer(dialogue: AnyDialogue, initial: bytes | None) -> Exchange:
    _demand_enabled(dialogue, AuthMethod.OAUTHBEARER)
    name, token = decode_oauthbearer((yield b"") if initial is None else initial)
    return Login(AuthMethod.OAUTHBEARER, name, token)


def _demand_enabled(dialogue: AnyDialogue, method: AuthMethod) -> None:
    """Raises Refused for a mechanism that the configuration does not list."""
    if not dialogue.enabled(method):
        raise NoLogin(f"mechanism {METHOD_NAMES[method].sasl} is not enabled")


async def failure(dialogue: AnyDialogue, login: Login, verdict: Rejected) -> bytes:
    """The answer to a login that was refused.

    Before it, XOAUTH2 and OAUTHBEARER send the reason in a challenge, which the client has to answer
    (RFC 7628 section 3.2.3). Any response ends the exchange: clients send their token once more, or "*".
    """
    if verdict.sasl is not None and login.method in _BY_TOKEN:
        with suppress(InvalidCommand, TooLongCommand):
            await dialogue.ask(verdict.sasl)
    return dialogue.rejection(verdict)


_BY_TOKEN = AuthMethod.XOAUTH2 | AuthMethod.OAUTHBEARER

# RFC 4616: whether a user may act for another one is decided by the auth service, see auth_http_authzid.
_ANOTHER_IDENTITY = Rejected(b"Authorization identity is not allowed")

_EXCHANGES = {
    AuthMethod.PLAIN: _plain,
    AuthMethod.LOGIN: _login,
    AuthMethod.CRAM_MD5: _cram_md5,
    AuthMethod.EXTERNAL: _external,
    AuthMethod.XOAUTH2: _xoauth2,
    AuthMethod.OAUTHBEARER: _oauthbearer,
}
