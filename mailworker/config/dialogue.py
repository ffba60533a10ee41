"""What the three protocols' modules have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mailworker.config.settings import DialogueSettings
from mailworker.model import AuthMethod


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
