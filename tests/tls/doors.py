"""Doors to contexts of the tests' making."""

from __future__ import annotations

from collections.abc import Mapping

from mailworker.config.server_name import NameTable, ServerName
from mailworker.tls.context import TlsContext
from mailworker.tls.door import Door, Room

Host = tuple[str, TlsContext]
"""A server: what the test calls it, and its context."""


def room(servers: Mapping[str, TlsContext], *alpn: bytes) -> Room[Host]:
    """Servers by their names; the first is the default one."""
    hosts: list[Host] = list(servers.items())
    names: NameTable[Host] = NameTable()
    for host in hosts:
        names.add(ServerName(host[0].encode()), host)
    return Room(alpn, names, hosts[0])


def door(*rooms: Room[Host]) -> Door[Host]:
    return Door(rooms, lambda host: host[1], lambda host: host[0].encode())


def door_to(servers: Mapping[str, TlsContext]) -> Door[Host]:
    return door(room(servers, b"imap"))
