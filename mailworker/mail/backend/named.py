"""Backends that the auth service gives by name, with several addresses or few (nginx takes addresses only)."""

from __future__ import annotations

from secrets import randbelow

from mailworker.errors import ConnectionLost, NotResolved, Party, ProtocolError, TimedOut
from mailworker.event.connections import Connections
from mailworker.event.stream import SocketStream
from mailworker.mail.client.host import Resolver
from mailworker.mail.session_log import SessionLog
from mailworker.model import InetAddress
from mailworker.wire.auth_response import BackendName


async def connect_by_name(
    backend: BackendName, resolver: Resolver, connections: Connections, timeout: float, log: SessionLog
) -> tuple[SocketStream, InetAddress]:
    """A connection to the first address that takes one, and that address; each has its part of `timeout`, in seconds.

    Which comes first is chance. Why one of them did not is logged, but for the last. Raises a PeerError, and
    OutOfConnections.
    """
    *others, last = await _addresses(backend, resolver, connections, log)
    seconds = timeout / (len(others) + 1)
    for address in others:
        try:
            return await _connect(address, connections, seconds, log), address
        except (ConnectionLost, TimedOut) as error:
            log.fault(error)
    return await _connect(last, connections, seconds, log), last


async def _addresses(
    backend: BackendName, resolver: Resolver, connections: Connections, log: SessionLog
) -> list[InetAddress]:
    log.action = "in resolving upstream address"
    log.backend = str(backend)
    try:
        found = await resolver.addresses(connections, backend.name.encode(), 4)
    except NotResolved as error:
        raise ProtocolError(Party.BACKEND, f'upstream "{backend.name}" {error}') from None
    addresses = [InetAddress(str(address), backend.port) for address in sorted(found, key=int)]
    first = randbelow(len(addresses))
    return addresses[first:] + addresses[:first]


async def _connect(address: InetAddress, connections: Connections, timeout: float, log: SessionLog) -> SocketStream:
    log.action = "connecting to upstream"
    log.backend = address.bare
    stream = connections.connect(address, Party.BACKEND)
    stream.deadline = connections.loop.now + timeout
    try:
        await stream.established()
    except BaseException:
        stream.close()
        raise
    return stream
