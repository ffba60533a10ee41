"""The settings that all protocol modules have in common."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import Final

from mailworker.config.rows import Value
from mailworker.config.slots import WORDS, bitmask, once
from mailworker.config.tree import Parser
from mailworker.model import METHOD_NAMES, AuthMethod


@dataclass(frozen=True, slots=True)
class DialogueSettings:
    """The frozen settings of a protocol module, for the dialogue with clients.

    `capabilities` are the configured words, `auth` the enabled methods, `client_buffer` is in bytes. `greeting` is the
    first line, in SMTP the part after the server's name. `greeting_delay` is for SMTP, in seconds. For IMAP,
    `greeting_capabilities` tells whether the greeting lists them, and `identity` is the answer to ID.
    """

    auth: AuthMethod
    capabilities: tuple[bytes, ...]
    client_buffer: int
    greeting: bytes = b""
    greeting_delay: float = 0.0
    greeting_capabilities: bool = False
    identity: bytes = b"NIL"


CAPABILITIES: Final = replace(WORDS, freeze=lambda _, words: tuple(map(os.fsencode, words)))
"""Words of a reply to clients."""


def _take_lines(parser: Parser, earlier: tuple[str, ...]) -> tuple[str, ...]:
    for name, word in pairwise(parser.words[1:]):
        if word.isdecimal():
            parser.warn(f'"{word}" is a capability of its own, did you mean "{name} {word}" in quotes?')
    return WORDS.take(parser, earlier)


CAPABILITY_LINES: Final = replace(CAPABILITIES, take=_take_lines)
"""Lines of a reply to clients: a word with its parameters is in quotes."""


# Short enough for a line in every protocol (RFC 5321, 4.5.3.1.5). For clients of IMAP and POP3, a "[" at the beginning
# would begin a response code; after `+OK [XCLIENT]` other proxies would send XCLIENT.
_GREETING: Final = re.compile(rb"(?!\[)[!-~](?:[ -~]{0,255}[!-~])?")


def greeting(form: bytes, unsuitable: bytes = b"") -> Value[bytes]:
    """The text of a greeting, which must not contain the bytes `unsuitable`.

    `form` is the line that is sent to clients, with `%b` for the text.
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
