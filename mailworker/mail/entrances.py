"""The entrance for the clients of an address, and the virtual servers that they may select."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from mailworker.config.listen import Listen
from mailworker.config.server_name import NameTable
from mailworker.event.listener import OnAccept
from mailworker.event.sockets import local_address
from mailworker.mail.admission import new_checks
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.mail.record import Checks, Entrance, Sessions
from mailworker.mail.server import Server
from mailworker.model import Address
from mailworker.tls.context import TlsContext
from mailworker.tls.virtual_servers import ProtocolServers, VirtualServers


def new_entrance(
    listen: Listen,
    servers: Sequence[Server],
    default: Server,
    sessions: Sessions,
    checks_of: Callable[[Server], Checks] = lambda server: new_checks(server.settings),
) -> Entrance:
    """Make the entrance of `default`, which serves clients without TLS; in TLS, a client selects one of `servers`."""
    entrances = {server: Entrance(listen, server, server.log, sessions) for server in servers}
    entrance = entrances[default]
    entrance.at_accept = checks_of(default)
    behind = [each for each in entrances.values() if each.server.tls is not None]
    if default.tls is not None and (len(behind) > 1 or default.tls.chooses):
        protocols = dict.fromkeys((default.settings.protocol, *(each.server.settings.protocol for each in behind)))
        found = [_protocol_servers(protocol, behind, entrance) for protocol in protocols]
        virtual_servers = VirtualServers(found, _context, _own_name)
        prompt = all(each.greets_at_once for each in behind)
        asks = any(each.has_variables for each in behind)
        for each in behind:
            each.virtual_servers, each.greets_at_once, each.has_variables = virtual_servers, prompt, asks
        _ask_in_tls(entrance, behind, checks_of)
    return entrance


def _ask_in_tls(default: Entrance, behind: Sequence[Entrance], checks_of: Callable[[Server], Checks]) -> None:
    """Run a server's checks after the handshake if they differ from those of `default`.

    If all clients begin with a handshake, no checks run before it: only the selected server's checks count.
    """
    checks = {each: checks_of(each.server) for each in behind}
    others = [each for each in behind if checks[each] != default.at_accept]
    if others and default.listen.ssl:
        others, default.at_accept = list(behind), ()
    for each in others:
        each.in_tls = checks[each]


def _protocol_servers(protocol: str, entrances: Sequence[Entrance], default: Entrance) -> ProtocolServers[Entrance]:
    names: NameTable[Entrance] = NameTable()
    inside = [each for each in entrances if each.server.settings.protocol == protocol]
    for each in inside:
        for name in each.server.settings.names:
            names.add(name, each)  # the first of conflicting names counts, as the configuration has warned
    return ProtocolServers(PROTOCOLS[protocol].all_alpn, names, default if default in inside else inside[0])


def _own_name(entrance: Entrance) -> bytes:
    return entrance.server.settings.server_name.lower()


def _context(entrance: Entrance) -> TlsContext:
    context = entrance.server.tls
    assert context is not None
    return context


def by_address(serve: Callable[[Entrance, int, Address], None], entrances: Sequence[Entrance]) -> OnAccept:
    """The listener's call for a socket with several entrances; the first is for all addresses that no other one has."""
    default, *others = entrances
    named = {entrance.name: entrance for entrance in others}

    def accepted(descriptor: int, peer: Address) -> None:
        try:
            entrance = named.get(str(local_address(descriptor)), default)
        except BaseException:  # such as MemoryError
            os.close(descriptor)
            raise
        serve(entrance, descriptor, peer)

    return accepted
