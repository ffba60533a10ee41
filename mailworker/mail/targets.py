"""The choice of a backend for a login, and the connection to it.

nginx accepts only addresses. A server that has a resolver also accepts names, which may have several addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from ipaddress import ip_address
from secrets import randbelow
from typing import Final, Protocol

from mailworker.config.settings import MailServer
from mailworker.errors import BACKEND, ConnectionLost, NotResolved, Party, ProtocolError, TimedOut
from mailworker.event.connections import Connections
from mailworker.event.plan import Link
from mailworker.event.stream import SocketStream
from mailworker.mail.client.host import IpAddress, Resolver
from mailworker.mail.session_log import SessionLog
from mailworker.model import Address, BackendName, InetAddress
from mailworker.wire.auth_response import Accepted


class Target:
    """The peer of a connection; `name` is the name that was resolved to the address, None if the address was given.

    `text` is the address for the log.
    """

    __slots__ = ("address", "name", "text")

    def __init__(self, address: Address, name: str | None = None) -> None:
        self.address = address
        self.name = name
        self.text = address.bare if isinstance(address, InetAddress) else str(address)  # nginx: no brackets for IPv6


Connected = Callable[[SocketStream, Target], Link]
"""Called with a connection; gives the link that follows."""

CONNECTING: Final = "connecting to upstream"
"""The action of a session until it is connected, for the log."""


class Candidates(Protocol):
    """The addresses that a login may be sent to."""

    async def connect(self, connections: Connections, timeout: float, log: SessionLog, connected: Connected) -> Link:
        """Get a connection within `timeout` seconds; what follows has as many again.

        Raises a PeerError, and OutOfConnections.
        """


BackendAddress = Address | BackendName | None
"""The backend as the login source names it; None if the configuration names it."""


class Targets(Protocol):
    """Chooses the backends for the logins of a server.

    `given` is a function that gives the only target for a backend, None if there are `candidates`.
    """

    @property
    def given(self) -> Callable[[BackendAddress], Target | None]: ...

    def candidates(self, accepted: Accepted) -> Candidates:
        """The candidates for an accepted login without a given target."""


class GivenTargets(dict[BackendAddress, Target]):
    """The targets of addresses: there are few backends and many logins, and thousands of idle sessions share a text."""

    __slots__ = ()

    def __missing__(self, address: Address) -> Target:
        if len(self) >= _MOST_GIVEN:
            self.clear()
        self[address] = target = Target(address)
        return target


# Without a limit, addresses that are not used any more would pile up.
_MOST_GIVEN: Final = 4096

# For so many seconds an address is tried last after it has failed (nginx's fail_timeout).
_FAIL_TIMEOUT: Final = 10.0
# Most addresses that are remembered; without a limit those that leave the DNS would pile up.
_MOST_FAILED: Final = 1024


class FailedAddresses:
    """The addresses that have failed, each with the monotonic time until which it is tried last.

    After that time one login tries it in its turn again, and all others still try it last until the outcome is known:
    so a silent host delays only one login.
    """

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[Address, float] = {}

    def put_last(self, addresses: Sequence[InetAddress], now: float) -> list[InetAddress]:
        """The addresses in their order, but with those at the end that have failed."""
        return sorted(addresses, key=lambda address: self._until.get(address, now) > now)

    def trying(self, address: Address, until: float) -> None:
        """Note that an address is being tried: if it has failed before, others try it last until then."""
        if address in self._until:
            self._until[address] = until

    def add(self, address: Address, now: float) -> None:
        """Note that nobody has answered there."""
        if len(self._until) >= _MOST_FAILED:
            self._until.clear()
        self._until[address] = now + _FAIL_TIMEOUT

    def holds(self, addresses: Sequence[InetAddress]) -> bool:
        """Whether each of the addresses has failed, and nobody has answered there since."""
        return all(address in self._until for address in addresses)

    def discard(self, address: Address) -> None:
        """Note that a connection was made."""
        self._until.pop(address, None)


class NamedBackend:
    """All addresses of a name, in random order, those that have failed lately last.

    Those of IPv4 come first, if there are any. Those of IPv6 are for when all of these fail: the proxy's host may have
    no IPv4.
    """

    __slots__ = ("_backend", "_failed", "_given", "_resolver")

    def __init__(
        self, backend: BackendName, resolver: Resolver | None, failed: FailedAddresses, given: GivenTargets
    ) -> None:
        """`resolver` is None if the backend brings its addresses."""
        self._given = given
        self._backend = backend
        self._resolver = resolver
        self._failed = failed

    async def connect(self, connections: Connections, timeout: float, log: SessionLog, connected: Connected) -> Link:
        """Connect to the first address that accepts; each gets its part of `timeout`.

        Each failure is logged, except that of the last address.
        """
        found = _known_addresses(self._backend)
        whole = bool(found)
        if not whole:
            found = await self._addresses(connections, log)
            whole = self._failed.holds(found)
            if whole:
                found += await self._more(found, connections)
        until = connections.loop.now + timeout
        try:
            stream, address = await self._try(found, connections, until, log)
        except ConnectionLost as error:
            if whole or not (found := await self._more(found, connections)):
                raise
            log.gave_up(error)
            stream, address = await self._try(found, connections, until, log)
        stream.deadline = connections.loop.now + timeout
        return connected(stream, Target(address, None if self._backend.addresses else self._backend.name))

    async def _try(
        self, found: Sequence[InetAddress], connections: Connections, until: float, log: SessionLog
    ) -> tuple[SocketStream, InetAddress]:
        """A connection to one of the addresses, by `until`."""
        loop = connections.loop
        *others, last = self._failed.put_last(found, loop.now)
        for tried, address in enumerate(others):
            seconds = (until - loop.now) / (len(found) - tried)
            try:
                return await self._establish(address, connections, seconds, log), address
            except (ConnectionLost, TimedOut) as error:
                log.gave_up(error)
        return await self._establish(last, connections, until - loop.now, log), last

    async def _establish(
        self, address: Address, connections: Connections, seconds: float, log: SessionLog
    ) -> SocketStream:
        loop = connections.loop
        self._failed.trying(address, loop.now + seconds)
        try:
            stream = await _establish(self._given[address], connections, seconds, log)
        except (ConnectionLost, TimedOut):
            self._failed.add(address, loop.now)
            raise
        self._failed.discard(address)
        return stream

    async def _addresses(self, connections: Connections, log: SessionLog) -> list[InetAddress]:
        backend = self._backend
        log.action = "in resolving upstream address"
        log.backend = str(backend)
        try:
            return await self._find(connections, 4)
        except NotResolved as error:
            raise ProtocolError(Party.BACKEND, f'upstream "{backend.name}" {error}') from None

    async def _more(self, found: Sequence[InetAddress], connections: Connections) -> list[InetAddress]:
        """The addresses of IPv6, unless these were found already; without words in the log if there are none."""
        try:
            return [] if found[0].is_ipv6 else await self._find(connections, 6, alone=True)
        except NotResolved:
            return []

    async def _find(self, connections: Connections, version: int, *, alone: bool = False) -> list[InetAddress]:
        """The addresses in random order; see `Resolver.addresses`."""
        assert self._resolver is not None
        name = self._backend.name.encode(errors="surrogateescape")
        return _in_random_order(await self._resolver.addresses(connections, name, version, alone=alone), self._backend)


def _known_addresses(backend: BackendName) -> list[InetAddress]:
    """The addresses that a backend brings, none if its name must be resolved."""
    known = {ip_address(address.host) for address in backend.addresses}
    ipv4 = {address for address in known if address.version == 4}
    return _in_random_order(ipv4, backend) + _in_random_order(known - ipv4, backend)


def _in_random_order(found: Set[IpAddress], backend: BackendName) -> list[InetAddress]:
    addresses = [InetAddress(str(address), backend.port) for address in sorted(found, key=int)]
    first = randbelow(len(addresses) or 1)
    return addresses[first:] + addresses[:first]


class AnsweredTargets:
    """The address that the login source gives, which is neither a name nor None."""

    __slots__ = ("given",)

    def __init__(self) -> None:
        self.given = GivenTargets().__getitem__

    def candidates(self, accepted: Accepted) -> Candidates:
        """See `Targets.candidates`."""
        raise NotImplementedError


class NamedTargets:
    """The backend that the login source names, or the address that it gives."""

    __slots__ = ("_failed", "_given", "resolver")

    def __init__(self, resolver: Resolver | None) -> None:
        """`resolver` is None if the only name is that of `proxy_pass`."""
        self._failed = FailedAddresses()
        self._given = GivenTargets()
        self.resolver = resolver

    def given(self, backend: BackendAddress) -> Target | None:
        """See `Targets`."""
        return None if isinstance(backend, BackendName) else self._given[backend]

    def candidates(self, accepted: Accepted) -> Candidates:
        """See `Targets.candidates`."""
        backend = accepted.address
        assert isinstance(backend, BackendName)
        return NamedBackend(backend, self.resolver, self._failed, self._given)


def _named(settings: MailServer, resolver: Resolver | None) -> Targets | None:
    return None if resolver is None and len(settings.proxy.addresses) < 2 else NamedTargets(resolver)


def _answered(_settings: MailServer, _resolver: Resolver | None) -> Targets:
    return AnsweredTargets()


TARGETS: tuple[Callable[[MailServer, Resolver | None], Targets | None], ...] = (_named, _answered)
"""Each makes the Targets of a server, or gives None if the settings need another kind; the first one made is used."""


def choose_targets(settings: MailServer, resolver: Resolver | None) -> Targets:
    """The Targets of a server; `resolver` is None if backends have no names."""
    return next(targets for make in TARGETS if (targets := make(settings, resolver)) is not None)


async def _establish(target: Target, connections: Connections, timeout: float, log: SessionLog) -> SocketStream:
    log.action = CONNECTING
    log.backend = target.text
    stream = connections.connect(target.address, BACKEND, timeout)
    try:
        await stream.established()
    except BaseException:
        stream.close()
        raise
    return stream
