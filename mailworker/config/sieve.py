"""ManageSieve's directives, which nginx does not have."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Final

from mailworker.config.command import ONE, ONE_OR_MORE
from mailworker.config.dialogue import SASL, auth_methods
from mailworker.config.drafts import BOTH
from mailworker.config.rows import row
from mailworker.config.slots import WORDS, repeated, size
from mailworker.config.tree import Parser
from mailworker.config.values import BUFFER
from mailworker.model import AuthMethod

# Room for a token of 16,384 bytes and the command around it.
_CLIENT_BUFFER: Final = 20480

# The capabilities that every server has (RFC 5804 section 1.7), in an order that all clients accept. The others come
# before VERSION.
_REQUIRED: Final = {"IMPLEMENTATION": "mailworker", "SIEVE": "", "VERSION": "1.0"}

# Capabilities that cannot be configured, and why.
_NOT_CONFIGURED: Final = {
    "SASL": '"sieve_auth" sets it',
    "STARTTLS": '"starttls" sets it',
    "OWNER": "it is known after the login",
    "UNAUTHENTICATE": "it is refused",
}
# Some clients accept no other characters in names.
_CAPABILITY: Final = re.compile(r"([A-Z]+)(?: ([^\0-\x1f\x7f]*))?")
_VALUE_LIMIT: Final = 1024


def _take_capabilities(parser: Parser) -> tuple[str, ...]:
    """Names, each followed by a space and its value, if it has one."""
    for word in parser.words[1:]:
        match = _CAPABILITY.fullmatch(word)
        if match is None:
            raise parser.error(f'invalid capability "{word}"')
        if len(os.fsencode(match[2] or "")) > _VALUE_LIMIT:
            raise parser.error(f'value of capability "{match[1]}" is longer than {_VALUE_LIMIT} bytes')
        if match[1] in _NOT_CONFIGURED:
            raise parser.error(f'capability "{match[1]}" cannot be listed, {_NOT_CONFIGURED[match[1]]}')
    return tuple(parser.words[1:])


def _freeze_capabilities(parser: Parser, words: tuple[str, ...]) -> tuple[bytes, ...]:
    """The capabilities with their values, in order."""
    given = dict[str, str]()
    for word in words:
        name, _, value = word.partition(" ")
        if name in given:
            raise parser.error(f'duplicate capability "{name}" in "sieve_capabilities"')
        given[name] = value
    if "enotify" in given.get("SIEVE", "").split() and not given.get("NOTIFY"):
        raise parser.error('capability "NOTIFY" is needed if "SIEVE" lists "enotify"')
    if not given.get("SIEVE"):
        parser.warn_once(
            'no "SIEVE" in "sieve_capabilities": editors may offer no rules before the login', parser.where
        )
    first = ("IMPLEMENTATION", "SIEVE", "NOTIFY")
    names = [*first, *(name for name in given if name not in (*first, "VERSION")), "VERSION"]
    whole = {**_REQUIRED, **given}
    return tuple(_capability(name, whole[name]) for name in names if name in whole)


def _capability(name: str, value: str) -> bytes:
    return os.fsencode(f"{name} {value}" if value or name in _REQUIRED else name)


CAPABILITIES: Final = replace(WORDS, take=repeated(_take_capabilities), freeze=_freeze_capabilities)


@dataclass(slots=True)
class SieveDraft:
    """The buffer is in bytes."""

    sieve_client_buffer: int = row(BOTH, ONE, size(BUFFER), _CLIENT_BUFFER)
    sieve_capabilities: tuple[str, ...] = row(
        BOTH, ONE_OR_MORE, CAPABILITIES, (), spelled='"IMPLEMENTATION mailworker" SIEVE "VERSION 1.0"'
    )
    sieve_auth: tuple[AuthMethod, ...] = row(BOTH, ONE_OR_MORE, auth_methods(SASL), (AuthMethod.PLAIN,))
