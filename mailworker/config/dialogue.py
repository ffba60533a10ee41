"""What the three protocols' modules have in common: their drafts, frozen, are DialogueSettings."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Final

from mailworker.config.rows import Value
from mailworker.config.slots import WORDS, bitmask
from mailworker.model import METHOD_NAMES, AuthMethod


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


CAPABILITIES: Final = replace(WORDS, freeze=lambda _, words: tuple(map(os.fsencode, words)))
"""Words of a reply."""


SASL: Final = reduce(or_, (method for method, names in METHOD_NAMES.items() if names.sasl))
"""The methods that are SASL mechanisms."""


def auth_methods(methods: AuthMethod) -> Value[tuple[AuthMethod, ...]]:
    """Some of `methods`."""
    table = {names.directive: method for method, names in METHOD_NAMES.items() if method in methods}
    return replace(bitmask(table), freeze=lambda _, chosen: reduce(or_, chosen, AuthMethod(0)))
