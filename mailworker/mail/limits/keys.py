"""By which key a session is counted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Final

from mailworker.config.limit_auth import LimitZone
from mailworker.mail.facts import SessionFacts
from mailworker.mail.record import SessionRecord
from mailworker.variables.prefix import Lengths, packed_prefix
from mailworker.variables.template import Name
from mailworker.variables.variables import Variables

Key = Callable[[SessionRecord], bytes]
"""What a session is counted by; nothing where it is not counted."""

UNIX: Final = "unix:"
"""The address of clients that have none."""

_Light = Callable[[SessionRecord, Lengths], bytes]


def _packed(record: SessionRecord, _lengths: Lengths) -> bytes:
    client = record.client
    if client == UNIX:
        return client.encode()
    return socket.inet_pton(socket.AF_INET6 if ":" in client else socket.AF_INET, client)


def _prefix(record: SessionRecord, lengths: Lengths) -> bytes:
    client = record.client
    return client.encode() if client == UNIX else packed_prefix(client, lengths)


_LIGHT: Final[Mapping[str, _Light]] = {
    "binary_remote_addr": _packed,
    "binary_remote_prefix": _prefix,
    "remote_addr": lambda record, _lengths: record.client.encode(),
    "remote_user": lambda record, _lengths: record.login,
}

_OF_CLIENT: Final = frozenset({"remote_addr", "binary_remote_addr", "binary_remote_prefix", "remote_prefix"})

_AT_ACCEPT: Final = _OF_CLIENT | {
    *("hostname", "nginx_version", "mailworker_version", "pid", "protocol", "server_addr", "server_port"),
    *("realip_remote_addr", "realip_remote_port", "remote_port", "connection"),
    *("proxy_protocol_addr", "proxy_protocol_port", "proxy_protocol_server_addr", "proxy_protocol_server_port"),
}


def key_of(zone: LimitZone, variables: Variables, lengths: Lengths) -> Key:
    """The function that gives the key."""
    part = zone.key.parts[0] if zone.key.parts else b""
    if zone.is_light and isinstance(part, Name):
        light = _LIGHT[part.name]
        return lambda record: light(record, lengths)
    render = variables.bind(zone.key)

    def read(record: SessionRecord) -> bytes:
        assert isinstance(record, SessionFacts)
        return render(record)

    return read


def asked(zone: LimitZone, variables: Variables) -> frozenset[str]:
    """The variables of sessions that a key is made of, through whatever others."""
    fresh = variables.alone()
    fresh.check(zone.key)
    return frozenset(fresh.asked)


def known_at_accept(names: frozenset[str]) -> bool:
    """Whether the key is there before the client has said anything."""
    return names <= _AT_ACCEPT


def tells_the_client(names: frozenset[str]) -> bool:
    """Whether what a stranger does elsewhere is counted elsewhere."""
    return not names.isdisjoint(_OF_CLIENT)
