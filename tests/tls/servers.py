"""Doors to contexts of the tests' making."""

from __future__ import annotations

from collections.abc import Mapping

from mailworker.config.server_name import NameTable, ServerName
from mailworker.tls.context import TlsContext
from mailworker.tls.virtual_servers import ProtocolServers, VirtualServers

Host = tuple[str, TlsContext]
"""A server: what the test calls it, and its context."""


def room(servers: Mapping[str, TlsContext], *alpn: bytes) -> ProtocolServers[Host]:
    """Servers by their names; the first is the default one."""
    hosts: list[Host] = list(servers.items())
    names: NameTable[Host] = NameTable()
    for host in hosts:
        names.add(ServerName(host[0].encode()), host)
    return ProtocolServers(alpn, names, hosts[0])


def door(*rooms: ProtocolServers[Host]) -> VirtualServers[Host]:
    return VirtualServers(rooms, lambda host: host[1], lambda host: host[0].encode())


def door_to(servers: Mapping[str, TlsContext]) -> VirtualServers[Host]:
    return door(room(servers, b"imap"))
