"""What the three protocols' modules have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mailworker.model import AuthMethod


@dataclass(frozen=True, slots=True)
class DialogueSettings:
    """What the client's dialogue needs of the server's own protocol module.

    `capabilities` are the configured words, `auth` the methods enabled, `client_buffer` bytes.
    `greeting_delay` is SMTP's, 0 elsewhere; `greeting_capabilities`, whether the greeting tells them, is IMAP's.
    """

    auth: AuthMethod
    capabilities: tuple[bytes, ...]
    client_buffer: int
    greeting_delay: float = 0.0
    greeting_capabilities: bool = False


def dialogue_settings(
    methods: Sequence[AuthMethod],
    capabilities: Sequence[str],
    client_buffer: int,
    *,
    greeting_delay: float = 0.0,
    greeting_capabilities: bool = False,
) -> DialogueSettings:
    """Freeze one protocol's directives; the buffer is in bytes, the delay in seconds."""
    auth = AuthMethod(0)
    for method in methods:
        auth |= method
    words = tuple(map(os.fsencode, capabilities))
    return DialogueSettings(auth, words, client_buffer, greeting_delay, greeting_capabilities)
