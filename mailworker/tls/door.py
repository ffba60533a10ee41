"""Several servers at one address: the ClientHello tells which one a client wants, by SNI and ALPN."""

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

# Names that a door remembers in the clients' spelling; some clients send capitals.
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
        """See `TlsConnection.handshake`; raises what `choose` does."""
        result = steps.handshake(self.handle, more)
        if result == Io.HELLO:
            try:
                self._choose(self)
            except OpenSslError as error:
                raise TlsError(self.party, f"{error.call}()", error.reasons) from None
            result = steps.handshake(self.handle, more)
        return self._shaken(result)


@dataclass(frozen=True, slots=True)
class Room(Generic[V]):
    """The servers of one protocol: by name, and the default for all other names. `alpn` are the protocol's names."""

    alpn: tuple[bytes, ...]
    names: NameTable[V]
    default: V


@dataclass(frozen=True, slots=True)
class Guest(Generic[V]):
    """The server that a client has chosen, the name that it asked for, and the session id context for these."""

    host: V
    name: bytes | None
    identity: bytes


class Door(Generic[V]):
    """The servers at an address. `context` gives the TLS context of a server, `own_name` its `server_name`."""

    __slots__ = ("_known", "_rooms", "context", "own_name")

    def __init__(
        self, rooms: Sequence[Room[V]], context: Callable[[V], TlsContext], own_name: Callable[[V], bytes]
    ) -> None:
        """The first of `rooms` has the default server."""
        self._known: dict[bytes | None, Guest[V]] = {}  # by the SNI of clients without ALPN, for names that exist
        self._rooms = rooms
        self.context = context
        self.own_name = own_name

    def visit(self) -> Visit[V]:
        """The TLS settings of one connection, before its server is chosen."""
        return Visit(self, self._rooms[0].default)

    def receive(self, connection: TlsConnection) -> Guest[V] | None:
        """The server that a client has chosen, None where it offers protocols and none of ours.

        Raises ProtocolError where matching a regular expression takes too long.
        """
        asked = connection.server_name
        offers = connection.offers if len(self._rooms) > 1 else ()
        known = None if offers else self._known.get(asked)
        return self.guest(asked, offers) if known is None else known

    def guest(self, asked: bytes | None, offers: Sequence[bytes]) -> Guest[V] | None:
        """As `receive`, for a client that sends `asked` by SNI and `offers` protocols by ALPN."""
        room = self._room(offers)
        if room is None:
            return None
        name = requested_host(asked)
        found = None if name is None else room.names.find(name)
        host = room.default if found is None else found
        context = self.context(host)
        guest = Guest(host, name, context.identity_of(name))
        exists = asked is None or found is not None or context.knows(name)
        if exists and not offers and len(self._known) < _MOST_KNOWN:
            self._known[asked] = guest
        return guest

    def _room(self, offers: Sequence[bytes]) -> Room[V] | None:
        if not offers:
            return self._rooms[0]
        return next((room for room in self._rooms if not set(offers).isdisjoint(room.alpn)), None)


class Visit(Generic[V]):
    """Makes the TLS connection of a stream; `host` is the client's server, the default one until it has chosen."""

    __slots__ = ("_door", "host")

    def __init__(self, door: Door[V], host: V) -> None:
        self._door = door
        self.host = host

    def connection(self, descriptor: int) -> TlsConnection:
        """A client's connection before its handshake."""
        return ChoosingConnection(self._door.context(self.host).native, descriptor, self._choose)

    def _choose(self, connection: TlsConnection) -> None:
        door = self._door
        guest = door.receive(connection)
        if guest is None:
            connection.refuse(Alert.NO_APPLICATION_PROTOCOL)
            return
        self.host = host = guest.host
        door.context(host).admit(connection, guest.name, door.own_name(host), guest.identity)
