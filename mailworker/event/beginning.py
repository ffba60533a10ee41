"""The beginning of the sessions of guests; native/core/beginning.c has it in C."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from mailworker.errors import PeerError
from mailworker.event.lobby import Guest
from mailworker.event.loop import Loop
from mailworker.event.plan import Chain, carry_out
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task
from mailworker.model import Address
from mailworker.native.core import accelerator

__all__ = ["Beginning", "Pattern", "Session", "begin"]


class Session(Chain, Protocol):
    """A session as a beginning sees it."""

    def enlist(self, task: Task, /) -> None:
        """Note the session in the session table; `task` carries it out."""

    def drop(self) -> None:
        """Forget the session: there is not enough memory to carry it out."""


SessionT = TypeVar("SessionT", bound=Session)


class Pattern(Protocol):
    """The pattern of sessions."""

    def of(self, number: int, stream: SocketStream, peer: Address, accepted: float, /) -> Session:
        """A session of another client, whose connection has this number and was accepted at that time of the loop."""


class Beginning:
    """Called by a lobby with each guest that leaves: begins its session with its first bytes, as a copy of `pattern`.

    `lost` gets guests whose connections have failed, with the error. `listed`: there is a session table.
    """

    __slots__ = ("_listed", "_loop", "_lost", "_pattern")

    def __init__(self, loop: Loop, pattern: Pattern, lost: Callable[[Guest, PeerError], None], listed: bool, /) -> None:
        self._listed = listed
        self._loop = loop
        self._lost = lost
        self._pattern = pattern

    def __call__(self, guest: Guest, heard: bytes | PeerError, /) -> None:
        """Begin the session of this guest."""
        if not isinstance(heard, bytes):
            self._lost(guest, heard)
            return
        session = self._pattern.of(guest.number, guest.stream, guest.peer, guest.accepted)
        begin(self._loop, session, heard, _enlist if self._listed else None)


def begin(
    loop: Loop,
    session: SessionT,
    heard: bytes | PeerError | None,
    enlist: Callable[[SessionT, Task], None] | None,
) -> None:
    """Begin a session with what its client has sent, None for nothing; `enlist`, if any, gets it and its task first.

    Raises what the preparations raise, such as MemoryError; nothing is left of the session then.
    """
    task = None
    try:
        task = Task(loop, carry_out(session, heard))
        if enlist is not None:
            enlist(session, task)
    except Exception:
        if task is not None:
            task.cancel()
        session.drop()
        raise
    task.resume()


def _enlist(session: Session, task: Task) -> None:
    session.enlist(task)


if accelerator is not None and not TYPE_CHECKING:
    Beginning = accelerator.Beginning
