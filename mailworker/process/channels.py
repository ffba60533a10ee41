"""Channels between workers and helpers: each is a pair of sockets for packets.

The master opens them. It keeps the helper's end as long as the worker runs, so if the helper dies, its successor gets
the packets that are still in the channel.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mailworker.process.cycle import Cycle

# Bytes that a channel can hold, with the kernel's overhead: some 6,000 packets of 300 bytes. For users other than root
# the kernel's own limit applies.
_CAPACITY: Final = 4 << 20

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
                _set_capacity(end)
    except OSError:
        close_ends((*theirs.values(), *own.values()))
        raise
    return theirs, own


def receive(end: socket.socket, buffer: bytearray | memoryview, flags: int = 0) -> int:
    """Receive a packet into `buffer`; returns its length, 0 when the other end has been closed. Raises OSError.

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


def _set_capacity(end: socket.socket) -> None:
    try:
        end.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _CAPACITY)
    except OSError:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CAPACITY)


@dataclass(slots=True)
class _Kept:
    """A helper's end. `given`: the running helper has it as well. `over`: the worker has ended."""

    cycle: Cycle
    worker: int
    helper: str
    end: socket.socket
    given: bool = False
    over: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it holds no packet."""
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
        """Note that a helper has been forked, and so has inherited all of its ends."""
        for kept in self._to(cycle, helper):
            kept.given = True

    def give(self, cycle: Cycle, helper: str, send: Callable[[socket.socket], bool]) -> bool:
        """Send the running helper the ends that it does not have yet; False if it has no room for one now."""
        for kept in self._to(cycle, helper):
            kept.given = kept.given or send(kept.end)
            if not kept.given:
                return False
        return True

    def end(self, worker: int) -> None:
        """Note that a worker has ended, and close the empty channels of all workers that have."""
        for kept in self._kept:
            kept.over = kept.over or kept.worker == worker
        self._close(kept for kept in self._kept if kept.over and kept.is_empty)

    def drop(self, cycle: Cycle, helper: str) -> None:
        """Close the channels of ended workers to a helper that has ended and is not replaced."""
        self._close(kept for kept in self._to(cycle, helper) if kept.over)

    def close(self, but: Iterable[socket.socket] = ()) -> None:
        """Close all ends except `but`, in a child that has inherited them."""
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
