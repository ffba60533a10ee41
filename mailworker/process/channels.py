"""Channels between workers and helpers: a pair of sockets for each, through which they send each other packets.

The master opens them, and keeps the helper's end for as long as the worker lives: when a helper dies, its successor
gets the packets that are still in there.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mailworker.process.cycle import Cycle

# The bytes that a worker may be ahead of a helper, with the kernel's overhead: some 6,000 packets of 300 bytes. Root
# may have that much; for other users the kernel's own limit holds.
_AHEAD: Final = 4 << 20

_SO_SNDBUFFORCE: Final = 32  # asm-generic/socket.h; Python has no name for it

Ends = dict[str, socket.socket]
"""One worker's ends of its channels, or the helpers' ends, by the names of the helpers."""


def open_channels(helpers: Iterable[str]) -> tuple[Ends, Ends]:
    """The helpers' ends of a worker's channels, and the worker's own; all are non-blocking. Raises OSError."""
    theirs: Ends = {}
    own: Ends = {}
    try:
        for helper in helpers:
            theirs[helper], own[helper] = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for end in (theirs[helper], own[helper]):
                end.setblocking(False)
                _widen(end)
    except OSError:
        close_ends((*theirs.values(), *own.values()))
        raise
    return theirs, own


def receive(end: socket.socket, buffer: bytearray | memoryview, flags: int = 0) -> int:
    """Receive a packet into `buffer`; returns its bytes, 0 when the other end has been closed. Raises OSError.

    If the other end was closed with unread data, the system reports ECONNRESET once, before the data that it had sent.
    """
    try:
        return end.recv_into(buffer, 0, flags)
    except ConnectionResetError:
        return end.recv_into(buffer, 0, flags)


def close_ends(ends: Iterable[socket.socket]) -> None:
    """Close these ends."""
    for end in ends:
        end.close()


def _widen(end: socket.socket) -> None:
    try:
        end.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _AHEAD)
    except OSError:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AHEAD)


@dataclass(slots=True)
class _Kept:
    """A helper's end; `given` tells whether the running helper has it too, `over` that the worker has ended."""

    cycle: Cycle
    worker: int
    helper: str
    end: socket.socket
    given: bool = False
    over: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no packet is left in it."""
        try:
            return not receive(self.end, bytearray(1), socket.MSG_PEEK)
        except OSError:
            return True


class Channels:
    """The helpers' ends that the master keeps."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[_Kept] = []

    def keep(self, cycle: Cycle, worker: int, ends: Mapping[str, socket.socket]) -> None:
        """Keep the ends of a worker that has started."""
        self._kept.extend(_Kept(cycle, worker, helper, end) for helper, end in ends.items())

    def of(self, cycle: Cycle, helper: str) -> tuple[socket.socket, ...]:
        """The ends that a helper which is about to be forked inherits."""
        return tuple(kept.end for kept in self._to(cycle, helper))

    def given(self, cycle: Cycle, helper: str) -> None:
        """Note that a helper has been forked, and has inherited all its ends."""
        for kept in self._to(cycle, helper):
            kept.given = True

    def give(self, cycle: Cycle, helper: str, send: Callable[[socket.socket], bool]) -> bool:
        """Send the running helper the ends that it lacks; False where it has no room for one yet."""
        for kept in self._to(cycle, helper):
            kept.given = kept.given or send(kept.end)
            if not kept.given:
                return False
        return True

    def end(self, worker: int) -> None:
        """Note that a worker has ended: its channels are closed when all packets in them have been taken."""
        for kept in self._kept:
            kept.over = kept.over or kept.worker == worker
        self.sweep()

    def sweep(self) -> None:
        """Close the channels of ended workers in which nothing is left."""
        self._close(kept for kept in self._kept if kept.over and kept.is_empty)

    def drop(self, cycle: Cycle, helper: str) -> None:
        """Close the channels of ended workers to a helper that has ended and gets no successor."""
        self._close(kept for kept in self._to(cycle, helper) if kept.over)

    def close(self, but: Iterable[socket.socket] = ()) -> None:
        """Close all ends but some, in a child that has inherited them."""
        remaining = set(map(socket.socket.fileno, but))
        for kept in self._kept:
            if kept.end.fileno() not in remaining:
                kept.end.close()
        self._kept.clear()

    def _to(self, cycle: Cycle, helper: str) -> Iterator[_Kept]:
        """The ends of one helper's channels."""
        return (kept for kept in self._kept if kept.cycle is cycle and kept.helper == helper)

    def _close(self, ends: Iterable[_Kept]) -> None:
        for kept in tuple(ends):
            self._kept.remove(kept)
            kept.end.close()
