"""The choice of a server on an address of several servers, by SNI and ALPN in the ClientHello."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mailworker.config.server_name import NameTable
from mailworker.errors import TlsError
from mailworker.native.core.readiness import Readiness
from mailworker.native.tls import connection as steps
from mailworker.native.tls.connection import Alert, Io
from mailworker.native.tls.context import Context
from mailworker.native.tls.queue import OpenSslError
from mailworker.tls.connection import TlsConnection
from mailworker.tls.context import TlsContext
from mailworker.wire.server_name import requested_host

V = TypeVar("V")

# The most names that are cached as clients send them; some send capitals.
_MOST_KNOWN: Final = 1 << 14


class ChoosingConnection(TlsConnection):
    """A connection whose context is chosen after the ClientHello.

    `choose` is called once, and may use `follow`, `use_pairs`, `bind_sessions` and `refuse`.
    """

    __slots__ = ("_choose",)

    def __init__(self, context: Context, fd: int, choose: Callable[[TlsConnection], None]) -> None:
        super().__init__(context, fd, chooses=True)
        self._choose = choose

    def handshake(self, *, more: bool = False) -> Readiness | None:
        """See `TlsConnection.handshake`; raises what `choose` raises."""
        result = steps.handshake(self.handle, more)
        if result == Io.HELLO:
            try:
                self._choose(self)
            except OpenSslError as error:
                raise TlsError(self.party, f"{error.call}()", error.reasons) from None
            result = steps.handshake(self.handle, more)
        return self._shaken(result)


@dataclass(frozen=True, slots=True)
class ProtocolServers(Generic[V]):
    """The servers of one protocol: by name, and the default one. `alpn` are the protocol's names in ALPN."""

    alpn: tuple[bytes, ...]
    names: NameTable[V]
    default: V


@dataclass(frozen=True, slots=True)
class Selected(Generic[V]):
    """The server for a client, the name that the client asked for, and the session id context of both."""

    server: V
    name: bytes | None
    identity: bytes


class VirtualServers(Generic[V]):
    """The servers on an address. `context` returns the TLS context of a server, `own_name` its `server_name`."""

    __slots__ = ("_known", "_protocols", "context", "own_name")

    def __init__(
        self,
        protocols: Sequence[ProtocolServers[V]],
        context: Callable[[V], TlsContext],
        own_name: Callable[[V], bytes],
    ) -> None:
        """The first of `protocols` has the default server."""
        self._known: dict[bytes | None, Selected[V]] = {}  # by the SNI of clients without ALPN, for names that exist
        self._protocols = protocols
        self.context = context
        self.own_name = own_name

    def selection(self) -> Selection[V]:
        """The TLS settings of one connection, before its server is chosen."""
        return Selection(self, self._protocols[0].default)

    def select(self, connection: TlsConnection) -> Selected[V] | None:
        """The server for a client, None if it offers only protocols that no server has.

        Raises ProtocolError if matching a regular expression takes too long.
        """
        asked = connection.server_name
        offers = connection.offers if len(self._protocols) > 1 else ()
        known = None if offers else self._known.get(asked)
        return self.lookup(asked, offers) if known is None else known

    def lookup(self, asked: bytes | None, offers: Sequence[bytes]) -> Selected[V] | None:
        """As `select`, for a client that sends `asked` by SNI and `offers` protocols by ALPN."""
        protocol = self._protocol(offers)
        if protocol is None:
            return None
        name = requested_host(asked)
        found = None if name is None else protocol.names.find(name)
        server = protocol.default if found is None else found
        context = self.context(server)
        selected = Selected(server, name, context.identity_of(name))
        exists = asked is None or found is not None or context.knows(name)
        if exists and not offers and len(self._known) < _MOST_KNOWN:
            self._known[asked] = selected
        return selected

    def _protocol(self, offers: Sequence[bytes]) -> ProtocolServers[V] | None:
        if not offers:
            return self._protocols[0]
        return next((protocol for protocol in self._protocols if not set(offers).isdisjoint(protocol.alpn)), None)


class Selection(Generic[V]):
    """Makes the TLS connection of a stream; `server` is the client's server, before the ClientHello the default one."""

    __slots__ = ("_servers", "server")

    def __init__(self, servers: VirtualServers[V], server: V) -> None:
        self._servers = servers
        self.server = server

    def connection(self, descriptor: int) -> TlsConnection:
        """A client's connection before its handshake."""
        return ChoosingConnection(self._servers.context(self.server).native, descriptor, self._choose)

    def _choose(self, connection: TlsConnection) -> None:
        servers = self._servers
        selected = servers.select(connection)
        if selected is None:
            connection.refuse(Alert.NO_APPLICATION_PROTOCOL)
            return
        self.server = server = selected.server
        servers.context(server).admit(connection, selected.name, servers.own_name(server), selected.identity)
