"""XCLIENT: commands that tell a backend SMTP server who the client is (Postfix, XCLIENT_README)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mailworker.errors import Party, ProtocolError
from mailworker.model import Address
from mailworker.wire.backend import FORBIDDEN
from mailworker.wire.identity import smtp_address

COMMAND_LIMIT = 512
"""Most bytes of one XCLIENT command with its CRLF (XCLIENT_README; RFC 5321 section 4.5.3.1.4)."""

_ROOM = COMMAND_LIMIT - len(b"XCLIENT\r\n")
_NOTHING: Mapping[bytes, bytes] = {}

# It comes after the first line, which is no keyword (RFC 5321 section 4.1.1.1).
_LISTED = re.compile(rb"\n250[- ]XCLIENT((?:[ \t][^\r\n]*)?)\r", re.IGNORECASE)

# RFC 3461 section 4: xchar is any printable ASCII byte but "+" and "="
_XCHARS = bytes(range(0x21, 0x7F)).translate(None, b"+=")


def listed_attributes(reply: bytes) -> frozenset[bytes] | None:
    """The attributes, in capitals, that a backend's reply to EHLO lists; None if it does not support XCLIENT."""
    listed = _LISTED.search(reply)
    return None if listed is None else frozenset(listed[1].upper().split())


def xtext(value: bytes) -> bytes:
    """`value` in the encoding of RFC 3461 section 4."""
    if not value.translate(None, _XCHARS):
        return value
    return b"".join(b"%c" % byte if byte in _XCHARS else b"+%02X" % byte for byte in value)


def xclient_command(listed: frozenset[bytes], address: Address, login: bytes | None, name: bytes) -> bytes | None:
    """The one command of `build` without `more`; empty if there is no attribute, None if it may not be sent.

    native/wire/smtp_words.c implements it in C, as each login takes this time.
    """
    if login is not None and b"\0" in login:
        return None
    attributes = _attributes(listed, {b"ADDR": smtp_address(address), b"LOGIN": login or b"", b"NAME": name})
    command = b"XCLIENT%b\r\n" % b"".join(attributes) if attributes else b""
    return command if len(command) <= COMMAND_LIMIT else None


def build(
    listed: frozenset[bytes],
    address: Address,
    login: bytes | None,
    name: bytes,
    more: Mapping[bytes, bytes] = _NOTHING,
) -> tuple[bytes, ...]:
    """The commands that send a client's attributes that are `listed`; none if there are no such attributes.

    `login` None or empty is left out. `name` is the client's host name, "[UNAVAILABLE]" or "[TEMPUNAVAIL]". `more` are
    other attributes and their values; one that is empty, or fits into no command, is left out. Of several commands the
    last one has address and login: after the address the backend may accept no further command, and a command without
    the login revokes an earlier login. Raises ProtocolError(CLIENT) for a login that does not fit: without it the
    backend would treat the client as not logged in; and for one with a NUL, at which Postfix ends the name.
    """
    if login is not None and b"\0" in login:
        raise ProtocolError(Party.CLIENT, FORBIDDEN)
    address_and_login = _attributes(listed, {b"ADDR": smtp_address(address), b"LOGIN": login or b""})
    return _several(b"".join(address_and_login), _attributes(listed, {b"NAME": name, **more}))


def _attributes(listed: frozenset[bytes], values: Mapping[bytes, bytes]) -> list[bytes]:
    return [b" %b=%b" % (key, xtext(value)) for key, value in values.items() if value and key in listed]


def _several(last: bytes, others: list[bytes]) -> tuple[bytes, ...]:
    """The fewest commands for all attributes; those without room beside address and login come before them."""
    if len(last) > _ROOM:
        raise ProtocolError(Party.CLIENT, "client sent too long login for XCLIENT")
    before: list[bytes] = []
    for attribute in others:
        if len(last) + len(attribute) <= _ROOM:
            last += attribute
        elif before and len(before[-1]) + len(attribute) <= _ROOM:
            before[-1] += attribute
        elif len(attribute) <= _ROOM:
            before.append(attribute)
    return tuple(b"XCLIENT%b\r\n" % attributes for attributes in (*before, last) if attributes)
