"""The host name of an SMTP client: the DNS name of its address, if that name resolves to the same address."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

from mailworker.errors import HostNotFound, NotResolved, escape
from mailworker.event.connections import Connections
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, UnixAddress, unmapped

UNAVAILABLE: Final = b"[UNAVAILABLE]"
"""There is no name, or it was not looked up (Postfix, XCLIENT_README)."""

TEMPUNAVAIL: Final = b"[TEMPUNAVAIL]"
"""There may be a name, but the lookup failed temporarily."""

IpAddress = IPv4Address | IPv6Address

# Names that may be used in headers and commands; nginx checks for these bytes, too.
_HOST_NAME = re.compile(rb"(?=.{1,255}\Z)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")


class Resolver(Protocol):
    """The client of the name servers, see `mailworker.event.resolver`."""

    async def host_name(self, connections: Connections, address: IpAddress) -> bytes: ...
    async def addresses(
        self, connections: Connections, name: bytes, version: int, *, alone: bool = False
    ) -> frozenset[IpAddress]: ...


async def find_host(resolver: Resolver, connections: Connections, address: Address, log: SessionLog) -> bytes:
    """The host name of the client at `address`, for auth services and backends (ngx_mail_smtp_handler.c).

    If there is none, the reason is written to `log`.
    """
    if isinstance(address, UnixAddress):
        return TEMPUNAVAIL
    ip = unmapped(address.host)  # an IPv4 client of an IPv6 socket has its name under its IPv4 address
    log.action = "in resolving client address"
    try:
        name = await resolver.host_name(connections, ip)
    except NotResolved as error:
        return _without_name(log, log.client, error)
    if not _HOST_NAME.fullmatch(name):
        log.error(f'{log.client} resolved to invalid host name "{escape(name)}"')
        return TEMPUNAVAIL
    log.action = "in resolving client hostname"
    try:
        addresses = await resolver.addresses(connections, name, ip.version)
    except NotResolved as error:
        return _without_name(log, f'"{name.decode()}"', error)
    return name if ip in addresses else UNAVAILABLE


def _without_name(log: SessionLog, what: str, error: NotResolved) -> bytes:
    log.error(f"{what} {error}")
    return UNAVAILABLE if isinstance(error, HostNotFound) else TEMPUNAVAIL
