"""Clients from accept and greeting until they first send something; native/core/lobby.c has it in C.

The session does not exist before that: a client that connects and is silent costs only a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mailworker.errors import Party, PeerError
from mailworker.event.connections import Connections
from mailworker.event.poller import READ
from mailworker.event.rows import NO_ROW, Rows
from mailworker.event.stream import SocketStream, Step, TlsContext
from mailworker.event.task import Task
from mailworker.model import Address, InetAddress
from mailworker.native.core import accelerator
from mailworker.shm.keys import UNIX

__all__ = ["Guest", "Lobby"]


class Guest:
    """An accepted client: its stream, its connection's number, and when it was accepted by the loop's clock.

    `shaking`: its TLS handshake is under way.
    """

    __slots__ = ("accepted", "listed", "number", "peer", "shaking", "stream", "task")

    task: Task

    def __init__(self, stream: SocketStream, number: int, peer: Address, accepted: float) -> None:
        self.stream = stream
        self.number = number
        self.peer = peer
        self.accepted = accepted
        self.listed = False  # whether its row was begun, or was counted as missing
        self.shaking = False  # whether a handshake is not done

    def interrupt(self, error: PeerError, /) -> None:
        """Make the guest leave with this error; does nothing if it has left already."""
        self.task.interrupt(error)


class QuickCheck(Protocol):
    """A check of every client that connects; see `mailworker.shm.attempts` and `mailworker.shm.gate`."""

    def passes(self, client: str, number: int, now: float, /) -> bool:
        """Whether the client may stay; `client` is its address or "unix:", `number` its connection's number."""


Left = Callable[[Guest, bytes | PeerError], None]
"""Takes the first bytes of a guest, b"" if it has closed its connection, or the error of that."""


class Lobby:
    """Greets all clients; `left` continues with each when it has sent something, or `timeout` seconds have passed.

    `step` is the greeting, with Choices if some lines have answers, see `SocketStream.heard`. At most `limit` bytes are
    read from a client. `noticed`, if any, is called for each connection that is counted; `full` gets connections while
    worker_connections are used up. `guests` are the clients that have not left. A client that fails one of `checks` is
    passed to `stopped` before the greeting. All others get a row in `rows`, if there are any, as sessions of the server
    with number `server` there. `forgotten`, if any, gets a guest that is dropped because of a bug, to uncount what a
    check has counted.
    """

    __slots__ = (
        "_checks", "_connections", "_context", "_forgotten", "_full", "_left", "_limit", "_noticed", "_party", "_rows",
        "_server", "_shaken", "_steps", "_stopped", "_timeout", "guests",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917 - made once for each entrance
        self,
        connections: Connections,
        party: Party,
        step: Step,
        limit: int,
        timeout: float,
        left: Left,
        noticed: Callable[[], None] | None,
        full: Callable[[int, Address], None],
        checks: tuple[QuickCheck, ...] = (),
        stopped: Callable[[Guest], None] = lambda _: None,
        rows: Rows | None = None,
        server: int = 0,
        forgotten: Callable[[Guest], None] | None = None,
        /,
    ) -> None:
        self._connections = connections
        self._party = party
        self._steps = (step,)
        self._limit = limit
        self._timeout = timeout
        self._left = left
        self._noticed = noticed
        self._full = full
        self._checks = checks
        self._stopped = stopped
        self._rows = rows
        self._server = server
        self._forgotten = forgotten
        self.guests = set[Guest]()
        self._context: TlsContext | None = None

    def shake_hands(self, context: TlsContext, shaken: Callable[[Guest], None] | None, /) -> None:
        """Do a TLS handshake with all clients that connect from now on, before the greeting.

        `shaken`, if any, is called with each guest after it. A guest that leaves before is still `shaking`.
        """
        self._context, self._shaken = context, shaken

    def accepted(self, descriptor: int, peer: Address, /) -> None:
        """Called by the listener for each connection."""
        connections = self._connections
        if connections.in_use >= connections.limit:
            self._full(descriptor, peer)
            return
        now = connections.loop.now
        guest = Guest(connections.stream(descriptor, self._party), connections.take(), peer, now)
        guest.stream.deadline = now + self._timeout
        try:
            self._receive_or_stop(guest)
        except Exception:
            self._forget(guest)
            raise

    def _receive_or_stop(self, guest: Guest) -> None:
        if self._noticed is not None:
            self._noticed()
        number, peer, now = guest.number, guest.peer, guest.accepted
        client = peer.host if isinstance(peer, InetAddress) else UNIX
        if not all(check.passes(client, number, now) for check in self._checks):
            self._stopped(guest)
            return
        if self._rows is not None:
            guest.stream.row = self._rows.open(guest, number, now, self._server, peer)
            guest.listed = True
        self.guests.add(guest)
        guest.task = Task(self._connections.loop, self._receive(guest))
        guest.task.resume()

    async def _receive(self, guest: Guest) -> None:
        try:
            heard = await self._hear(guest)
            self.guests.remove(guest)
            self._left(guest, heard)
        except Exception:
            self._forget(guest)
            raise

    def _forget(self, guest: Guest) -> None:
        """Drop a guest because of a bug: close its connection, and its row or NO_ROW unless that was passed on."""
        stream, rows = guest.stream, self._rows
        self.guests.discard(guest)
        if rows is not None and guest.listed and (stream.row == NO_ROW or rows.owner(stream.row) is guest):
            rows.close(stream.row)
            stream.row = NO_ROW
        if self._forgotten is not None:
            self._forgotten(guest)
        stream.close()

    async def _hear(self, guest: Guest) -> bytes | PeerError:
        try:
            await self._meet(guest)
            _, heard = await guest.stream.exchange(self._limit, self._steps)
        except PeerError as error:
            return error
        return heard

    async def _meet(self, guest: Guest) -> None:
        """Do the handshake, which the client begins, if there is one."""
        if self._context is None:
            return
        guest.shaking = True
        await guest.stream.wait(READ)
        await guest.stream.start_tls(self._context, more=True)
        guest.shaking = False
        if self._shaken is not None:
            self._shaken(guest)


if accelerator is not None and not TYPE_CHECKING:
    Guest, Lobby = accelerator.Guest, accelerator.Lobby
