"""Clients that were accepted and hear a greeting, until they say something; native/core/lobby.c has it in C.

Nothing of a session exists before: who connects and is silent costs a stream, and no object of a session.
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

__all__ = ["Guest", "Lobby"]


class Guest:
    """A client that was accepted, as a connection with this number, at this time of the loop's clock.

    `row` is its own in the session table, NO_ROW where it has none. `shaking`: a handshake is not done.
    """

    __slots__ = ("accepted", "number", "peer", "row", "shaking", "stream", "task")

    task: Task

    def __init__(self, stream: SocketStream, number: int, peer: Address, accepted: float) -> None:
        self.stream = stream
        self.number = number
        self.peer = peer
        self.row = NO_ROW
        self.accepted = accepted
        self.shaking = False  # whether a handshake is not done

    def interrupt(self, error: PeerError, /) -> None:
        """Let it leave with this error; nothing happens where it has left already."""
        self.task.interrupt(error)


class Check(Protocol):
    """Something that is asked of all who come; see `mailworker.shm.attempts` and `mailworker.shm.gate`."""

    def passes(self, client: str, number: int, now: float, /) -> bool:
        """Whether a client of this address, or "unix:", may stay whose connection has that number."""


Left = Callable[[Guest, bytes | PeerError], None]
"""Takes what a guest has said first, b"" where it has left, or what went wrong with its connection."""


class Lobby:
    """Greets all who come; `left` goes on with each when it has spoken, or `timeout` seconds have passed.

    `step` is the greeting, and Choices where some words have answers, see `SocketStream.heard`. What it says then has
    at most `limit` bytes. `noticed`, if any, is called for each that is counted, `full` with what the listener gave
    where there may be no more connections. `guests` are those who have not said anything else. Who does not pass all of
    `checks` is handed to `stopped` before any word is said. All others have a row in `rows`, where there are any, as a
    session of the server of that number there.
    """

    __slots__ = (
        "_checks", "_connections", "_context", "_full", "_left", "_limit", "_noticed", "_party", "_rows",
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
        checks: tuple[Check, ...] = (),
        stopped: Callable[[Guest], None] = lambda _: None,
        rows: Rows | None = None,
        server: int = 0,
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
        self.guests = set[Guest]()
        self._context: TlsContext | None = None

    def shake_hands(self, context: TlsContext, shaken: Callable[[Guest], None] | None, /) -> None:
        """Shake hands with all who come from now on, before the greeting.

        `shaken` is called with each that has done so, where anybody wants to know; who leaves before is `shaking`.
        """
        self._context, self._shaken = context, shaken

    def accepted(self, descriptor: int, peer: Address, /) -> None:
        """The listener's call."""
        connections = self._connections
        if connections.in_use >= connections.limit:
            self._full(descriptor, peer)
            return
        now = connections.loop.now
        guest = Guest(connections.stream(descriptor, self._party), connections.take(), peer, now)
        guest.stream.deadline = now + self._timeout
        if self._noticed is not None:
            self._noticed()
        client = peer.host if isinstance(peer, InetAddress) else "unix:"
        if not all(check.passes(client, guest.number, now) for check in self._checks):
            self._stopped(guest)
            return
        if self._rows is not None:
            guest.row = self._rows.open(guest, guest.number, now, self._server, peer)
        self.guests.add(guest)
        guest.task = Task(connections.loop, self._receive(guest))
        guest.task.resume()

    async def _receive(self, guest: Guest) -> None:
        heard: bytes | PeerError
        try:
            await self._meet(guest)
            _, heard = await guest.stream.exchange(self._limit, self._steps)
        except PeerError as error:
            heard = error
        self.guests.remove(guest)
        self._left(guest, heard)

    async def _meet(self, guest: Guest) -> None:
        """The handshake, which the client begins, if there is one."""
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
