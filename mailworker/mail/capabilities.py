"""What greetings say, and what CAPABILITY, CAPA, AUTH and EHLO answer, made once for each server block."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.event.choice import Choices
from mailworker.model import METHOD_NAMES, AuthMethod

Opening = tuple[bytes, Choices | None]
"""How a dialogue usually begins, as a plan's step hears it."""

_MECHANISMS = {method: names.sasl.encode() for method, names in METHOD_NAMES.items() if names.sasl}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The reply in clear, where STARTTLS may be offered or demanded, and where it is not (over TLS, or `off`).

    The greetings are what clients hear first, in clear and over TLS, None where each of them hears something else. The
    openings are what usual clients say to that and hear, up to the words that log in; None where no login is taken
    without a dialogue.
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
