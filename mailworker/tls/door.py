"""Several servers behind one address: a client's first message tells which one it wants, by name and by protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

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


class ChoosingConnection(TlsConnection):
    """One whose context is chosen when the client has said what it wants.

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
    """The servers of one protocol: what a name leads to, and what all others do. `alpn` are the protocol's names."""

    alpn: tuple[bytes, ...]
    names: NameTable[V]
    default: V


class Door(Generic[V]):
    """Who is behind an address. `context` gives the TLS context of each of them, `own_name` what it calls itself."""

    __slots__ = ("_rooms", "context", "own_name")

    def __init__(
        self, rooms: Sequence[Room[V]], context: Callable[[V], TlsContext], own_name: Callable[[V], bytes]
    ) -> None:
        """The first of `rooms` is the default one's."""
        self._rooms = rooms
        self.context = context
        self.own_name = own_name

    def visit(self) -> Visit[V]:
        """For one connection."""
        return Visit(self, self._rooms[0].default)

    def find(self, name: bytes | None, offers: Sequence[bytes]) -> V | None:
        """Who serves a client that asks for `name`, a host in lower case, and offers protocols by ALPN.

        None where it offers none of ours. Raises ProtocolError where a name is too hard for a regular expression.
        """
        room = self._room(offers)
        if room is None or name is None:
            return None if room is None else room.default
        found = room.names.find(name)
        return room.default if found is None else found

    @property
    def tells_protocols_apart(self) -> bool:
        """Whether what a client offers by ALPN matters."""
        return len(self._rooms) > 1

    def _room(self, offers: Sequence[bytes]) -> Room[V] | None:
        if not offers:
            return self._rooms[0]
        return next((room for room in self._rooms if not set(offers).isdisjoint(room.alpn)), None)


class Visit(Generic[V]):
    """What a stream shakes hands by; `host` is whom the client has come to, the default one until it has said so."""

    __slots__ = ("_door", "host")

    def __init__(self, door: Door[V], host: V) -> None:
        self._door = door
        self.host = host

    def connection(self, descriptor: int) -> TlsConnection:
        """A connection that is to shake hands."""
        return ChoosingConnection(self._door.context(self.host).native, descriptor, self._choose)

    def _choose(self, connection: TlsConnection) -> None:
        name = requested_host(connection.server_name)
        found = self._door.find(name, connection.offers if self._door.tells_protocols_apart else ())
        if found is None:
            connection.refuse(Alert.NO_APPLICATION_PROTOCOL)
            return
        self.host = found
        self._door.context(found).admit(connection, name, self._door.own_name(found))
