"""The part that all protocols' modules share: their drafts, frozen, are DialogueSettings."""

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
    """The settings that a client's dialogue needs from the server's protocol module.

    `capabilities` are the configured words, `auth` the enabled methods, `client_buffer` is in bytes. `greeting` is the
    first line, in SMTP the part after the server's name. `greeting_delay` is SMTP's, 0 elsewhere. IMAP alone has
    `greeting_capabilities`, whether the greeting lists them, and `identity`, the answer to ID.
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


# Short enough for a line of every protocol (RFC 5321, 4.5.3.1.5). A "[" at the beginning would be a response code to
# clients of IMAP and POP3, and to other proxies: behind `+OK [XCLIENT]` they would send XCLIENT.
_GREETING: Final = re.compile(rb"(?!\[)[!-~](?:[ -~]{0,255}[!-~])?")


def greeting(form: bytes, unsuitable: bytes = b"") -> Value[bytes]:
    """The text of a greeting, one argument without the bytes `unsuitable`, that cannot be mistaken for anything else.

    Frozen, it is put into `form`, as it is sent to clients.
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
    """A directive that takes some of `methods`."""
    table = {names.directive: method for method, names in METHOD_NAMES.items() if method in methods}
    return replace(bitmask(table), freeze=lambda _, chosen: reduce(or_, chosen, AuthMethod(0)))
