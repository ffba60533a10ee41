"""The greetings and the replies to CAPABILITY, CAPA, AUTH and EHLO, made once for each server block."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.event.choice import Choices
from mailworker.model import METHOD_NAMES, AuthMethod

Opening = tuple[bytes, Choices | None]
"""The usual beginning of a dialogue, in the form in which a plan's step describes a usual reply."""

_MECHANISMS = {method: names.sasl.encode() for method, names in METHOD_NAMES.items() if names.sasl}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The replies that list capabilities: `clear` with STARTTLS offered or demanded, `secure` without (TLS, or `off`).

    The greetings are for clients in clear and over TLS, None if each client gets another one. The openings are what
    usual clients send after that, with the replies, up to the bytes that log in; None if no login is accepted without a
    dialogue.
    """

    clear: bytes
    secure: bytes
    greeting: bytes | None = None
    secure_greeting: bytes | None = None
    opening: Opening | None = None
    secure_opening: Opening | None = None


def mechanisms(auth: AuthMethod) -> list[bytes]:
    """The SASL names to advertise."""
    return [name for method, name in _MECHANISMS.items() if method in auth]
