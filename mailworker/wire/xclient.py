"""XCLIENT: a backend SMTP server learns who the client is (Postfix, XCLIENT_README)."""

from __future__ import annotations

import re

from mailworker.config.settings import Address, InetAddress
from mailworker.errors import Party, ProtocolError

COMMAND_LIMIT = 512
"""Bytes of one XCLIENT command with its CRLF (XCLIENT_README; RFC 5321 section 4.5.3.1.4)."""

# RFC 3461 section 4: xchar is any printable ASCII byte but "+" and "="
_HEXCHAR_NEEDED = re.compile(rb"[^!-~]|[+=]")


def xtext(value: bytes) -> bytes:
    """`value` in the encoding of RFC 3461 section 4."""
    return _HEXCHAR_NEEDED.sub(lambda match: b"+%02X" % ord(match[0]), value)


def build(address: Address, login: bytes | None, name: bytes) -> bytes:
    """The command that introduces a client to the backend.

    `login` None or empty is left out. `name` is the client's host name, "[UNAVAILABLE]" or "[TEMPUNAVAIL]".
    Raises ProtocolError(CLIENT) for a login that does not fit: without it the backend would take the client for
    somebody who did not log in.
    """
    attributes = b" ADDR=" + _address(address)
    if login:
        attributes += b" LOGIN=" + xtext(login)
    command = b"XCLIENT%b NAME=%b\r\n" % (attributes, xtext(name))
    if len(command) > COMMAND_LIMIT:
        raise ProtocolError(Party.CLIENT, "client sent too long login for XCLIENT")
    return command


def _address(address: Address) -> bytes:
    if not isinstance(address, InetAddress):
        return b"unix:"
    return (b"IPV6:" if address.is_ipv6 else b"") + address.host.encode()
