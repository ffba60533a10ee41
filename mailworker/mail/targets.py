"""Where logins go: the choice of a backend, and the connection to it.

nginx takes addresses only; a server that has a resolver takes names too, with several addresses or few.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from secrets import randbelow
from typing import NamedTuple, Protocol

from mailworker.config.settings import MailServer
from mailworker.errors import ConnectionLost, NotResolved, Party, ProtocolError, TimedOut
from mailworker.event.connections import Connections
from mailworker.event.plan import Link
from mailworker.event.stream import SocketStream
from mailworker.mail.client.host import Resolver
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, BackendName, InetAddress
from mailworker.wire.auth_response import Accepted


class Target(NamedTuple):
    """Where a connection was made to; `name` is what the address was found by, None where it was given."""

    address: Address
    name: str | None = None


Connected = Callable[[SocketStream, Target], Link]
"""Gets a connection, and gives the link that follows."""

# Each login needs it, and Python 3.11 takes some 850 instructions to find a member in its enum.
_BACKEND = Party.BACKEND

_CONNECTING = "connecting to upstream"


class Candidates(Protocol):
    """What a login may go to."""

    def connect(self, connections: Connections, timeout: float, log: SessionLog, connected: Connected) -> Link:
        """What leads to a connection, made or under way within `timeout` in seconds, which it then has once more.

        Raises a PeerError, and OutOfConnections.
        """


class Targets(Protocol):
    """Chooses the backends for the logins of a server."""

    def candidates(self, accepted: Accepted) -> Candidates:
        """Where a login that was accepted may go."""


class GivenAddress:
    """One address, connected to as by nginx, which finds a failure when it reads or writes; `text` is for the log."""

    __slots__ = ("_address", "_target", "text")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._target = Target(address)
        self.text = address.bare if isinstance(address, InetAddress) else str(address)  # nginx: no brackets for IPv6

    def connect(self, connections: Connections, timeout: float, log: SessionLog, connected: Connected) -> Link:
        """See `Candidates.connect`."""
        log.action = _CONNECTING
        log.backend = self.text
        return connected(connections.connect(self._address, _BACKEND, timeout), self._target)


# There are few backends and many logins, and thousands of idle sessions have the text in common.
_given = lru_cache(maxsize=4096)(GivenAddress)


class NamedBackend:
    """All addresses of a name; which comes first is chance."""

    __slots__ = ("_backend", "_resolver")

    def __init__(self, backend: BackendName, resolver: Resolver) -> None:
        self._backend = backend
        self._resolver = resolver

    async def connect(self, connections: Connections, timeout: float, log: SessionLog, connected: Connected) -> Link:
        """A connection to the first address that takes one; each has its part of `timeout`.

        Why one of them did not is logged, but for the last.
        """
        *others, last = await self._addresses(connections, log)
        seconds = timeout / (len(others) + 1)
        for address in others:
            try:
                stream = await _establish(address, connections, seconds, log)
            except (ConnectionLost, TimedOut) as error:
                log.gave_up(error)
            else:
                return self._connected(stream, address, timeout, connected)
        return self._connected(await _establish(last, connections, seconds, log), last, timeout, connected)

    def _connected(self, stream: SocketStream, address: Address, timeout: float, connected: Connected) -> Link:
        stream.deadline = stream.loop.now + timeout
        return connected(stream, Target(address, self._backend.name))

    async def _addresses(self, connections: Connections, log: SessionLog) -> list[InetAddress]:
        backend = self._backend
        log.action = "in resolving upstream address"
        log.backend = str(backend)
        try:
            found = await self._resolver.addresses(connections, backend.name.encode(), 4)
        except NotResolved as error:
            raise ProtocolError(Party.BACKEND, f'upstream "{backend.name}" {error}') from None
        addresses = [InetAddress(str(address), backend.port) for address in sorted(found, key=int)]
        first = randbelow(len(addresses))
        return addresses[first:] + addresses[:first]


class AnsweredTargets:
    """The address that the login source gives."""

    __slots__ = ()

    def candidates(self, accepted: Accepted) -> Candidates:
        """See `Targets.candidates`."""
        return _given(accepted.address)  # no name, and not None: that is what these targets are for


class NamedTargets:
    """The backend that the login source names, or the address that it gives."""

    __slots__ = ("resolver",)

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver

    def candidates(self, accepted: Accepted) -> Candidates:
        """See `Targets.candidates`."""
        backend = accepted.address
        assert backend is not None
        return NamedBackend(backend, self.resolver) if isinstance(backend, BackendName) else _given(backend)


def _named(_settings: MailServer, resolver: Resolver | None) -> Targets | None:
    return None if resolver is None else NamedTargets(resolver)


def _answered(_settings: MailServer, _resolver: Resolver | None) -> Targets:
    return AnsweredTargets()


TARGETS: tuple[Callable[[MailServer, Resolver | None], Targets | None], ...] = (_named, _answered)
"""Each makes the choice of a server, or gives None where its settings ask for another; the first made counts."""


def choose_targets(settings: MailServer, resolver: Resolver | None) -> Targets:
    """Where the logins of a server go; `resolver` is None where backends have no names."""
    return next(targets for make in TARGETS if (targets := make(settings, resolver)) is not None)


async def _establish(address: Address, connections: Connections, timeout: float, log: SessionLog) -> SocketStream:
    log.action = _CONNECTING
    log.backend = _given(address).text
    stream = connections.connect(address, _BACKEND, timeout)
    try:
        await stream.established()
    except BaseException:
        stream.close()
        raise
    return stream
