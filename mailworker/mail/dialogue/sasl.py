"""The SASL exchange with a client, the same in the three protocols (nginx's mechanisms)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from mailworker.config.settings import AuthMethod
from mailworker.mail.dialogue.dialogue import Dialogue, Login, Refused
from mailworker.wire.sasl import (
    PASSWORD_PROMPT,
    USERNAME_PROMPT,
    Mechanism,
    decode_cram_md5,
    decode_external,
    decode_login,
    decode_password,
    decode_plain,
)


async def exchange(dialogue: Dialogue[Any], arguments: tuple[bytes, ...]) -> Login:
    """Carry out AUTH or AUTHENTICATE with its `arguments`: the mechanism's name and maybe an initial response.

    PLAIN and LOGIN are always taken, as nginx does and clients rely on; the others only where they are enabled.
    Raises ProtocolError for what the client gets an invalid-command reply for.
    """
    mechanism = Mechanism.named(arguments[0])
    initial = arguments[1] if len(arguments) > 1 else None
    if mechanism is None or len(arguments) > 2:
        raise Refused
    return await _EXCHANGES[mechanism](dialogue, initial)


async def _plain(dialogue: Dialogue[Any], initial: bytes | None) -> Login:
    name, password = decode_plain(await dialogue.ask(b"") if initial is None else initial)
    return Login(AuthMethod.PLAIN, name, password)


async def _login(dialogue: Dialogue[Any], initial: bytes | None) -> Login:
    name = decode_login(await dialogue.ask(USERNAME_PROMPT) if initial is None else initial)
    dialogue.log.login = name
    return Login(AuthMethod.LOGIN, name, decode_password(await dialogue.ask(PASSWORD_PROMPT)))


async def _cram_md5(dialogue: Dialogue[Any], initial: bytes | None) -> Login:
    if initial is not None or not dialogue.enabled(AuthMethod.CRAM_MD5):
        raise Refused
    salt = dialogue.new_salt()
    name, digest = decode_cram_md5(await dialogue.ask(b64encode(salt)))
    return Login(AuthMethod.CRAM_MD5, name, digest, salt)


async def _external(dialogue: Dialogue[Any], initial: bytes | None) -> Login:
    if not dialogue.enabled(AuthMethod.EXTERNAL):
        raise Refused
    return Login(
        AuthMethod.EXTERNAL, decode_external(await dialogue.ask(USERNAME_PROMPT) if initial is None else initial)
    )


_EXCHANGES = {
    Mechanism.PLAIN: _plain,
    Mechanism.LOGIN: _login,
    Mechanism.CRAM_MD5: _cram_md5,
    Mechanism.EXTERNAL: _external,
}
