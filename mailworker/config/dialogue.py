"""What the three protocols' modules have in common: their drafts, frozen, are DialogueSettings."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Final

from mailworker.config.rows import Value
from mailworker.config.slots import WORDS, bitmask, once
from mailworker.config.tree import Parser
from mailworker.model import METHOD_NAMES, AuthMethod


@dataclass(frozen=True, slots=True)
class DialogueSettings:
    """What the client's dialogue needs of the server's own protocol module.

    `capabilities` are the configured words, `auth` the methods enabled, `client_buffer` bytes. `greeting` is the first
    line, in SMTP what follows the server's name in it. `greeting_delay` is SMTP's, 0 elsewhere;
    `greeting_capabilities`, whether the greeting tells them, is IMAP's, and so is `identity`, what ID is answered.
    """

    auth: AuthMethod
    capabilities: tuple[bytes, ...]
    client_buffer: int
    greeting: bytes = b""
    greeting_delay: float = 0.0
    greeting_capabilities: bool = False
    identity: bytes = b"NIL"


CAPABILITIES: Final = replace(WORDS, freeze=lambda _, words: tuple(map(os.fsencode, words)))
"""Words of a reply."""


# Short enough for a line of every protocol (RFC 5321, 4.5.3.1.5). What begins with "[" is a code to clients of IMAP and
# POP3, and to other proxies: behind `+OK [XCLIENT]` they would send XCLIENT.
_GREETING: Final = re.compile(rb"(?!\[)[!-~](?:[ -~]{0,255}[!-~])?")


def greeting(form: bytes, unsuitable: bytes = b"") -> Value[bytes]:
    """The text of a greeting, in one word without the bytes `unsuitable`; it is not to be taken for anything else.

    Frozen it stands in its `form`, as clients read it.
    """

    def read(parser: Parser) -> bytes:
        text = os.fsencode(parser.words[1])
        if _GREETING.fullmatch(text) is None or any(byte in text for byte in unsuitable):
            raise parser.error(f'invalid text in "{parser.words[0]}" directive')
        return text

    return Value(once(read), lambda text: f'"{os.fsdecode(text)}"', lambda _, text: form % text)


SASL: Final = reduce(or_, (method for method, names in METHOD_NAMES.items() if names.sasl))
"""The methods that are SASL mechanisms."""


def auth_methods(methods: AuthMethod) -> Value[tuple[AuthMethod, ...]]:
    """Some of `methods`."""
    table = {names.directive: method for method, names in METHOD_NAMES.items() if method in methods}
    return replace(bitmask(table), freeze=lambda _, chosen: reduce(or_, chosen, AuthMethod(0)))
