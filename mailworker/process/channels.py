"""Channels between workers and helpers: a pair of sockets for each, through which they send each other packets.

The master opens them, and keeps the helper's end for as long as the worker lives: what lies in it when a helper dies is
for the next one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mailworker.process.cycle import Cycle

# Bytes that a worker may be ahead of a helper, with what the kernel adds: some 6,000 packets of 300 bytes. The system
# lets root have that; for others it has a bound of its own.
_AHEAD: Final = 4 << 20

_SO_SNDBUFFORCE: Final = 32  # asm-generic/socket.h; Python has no name for it

Ends = dict[str, socket.socket]
"""One worker's ends of its channels, or the other ones, by the names of the helpers."""


def open_channels(helpers: Iterable[str]) -> tuple[Ends, Ends]:
    """The helpers' ends of a worker's channels, and its own; nobody ever waits at either. Raises OSError."""
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
    """Bytes of a packet that were put into `buffer`, 0 when the other end has gone. Raises OSError.

    Of an end that has gone with answers unread, the system tells once, and before it gives what had been sent.
    """
    try:
        return end.recv_into(buffer, 0, flags)
    except ConnectionResetError:
        return end.recv_into(buffer, 0, flags)


def close_ends(ends: Iterable[socket.socket]) -> None:
    """Give them back."""
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
    """A helper's end; `given` tells whether the helper that runs has it too, `over` that the worker has ended."""

    cycle: Cycle
    worker: int
    helper: str
    end: socket.socket
    given: bool = False
    over: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies in it."""
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
        """Keep those of a worker that has begun."""
        self._kept.extend(_Kept(cycle, worker, helper, end) for helper, end in ends.items())

    def of(self, cycle: Cycle, helper: str) -> tuple[socket.socket, ...]:
        """What a helper that is about to be forked inherits."""
        return tuple(kept.end for kept in self._kept if kept.cycle is cycle and kept.helper == helper)

    def given(self, cycle: Cycle, helper: str) -> None:
        """A helper has been forked, with all that there are."""
        for kept in self._kept:
            if kept.cycle is cycle and kept.helper == helper:
                kept.given = True

    def give(self, cycle: Cycle, helper: str, send: Callable[[socket.socket], bool]) -> bool:
        """Send the helper that runs what it has not got; False where it has no room for one yet."""
        for kept in self._kept:
            if kept.cycle is cycle and kept.helper == helper and not kept.given:
                kept.given = send(kept.end)
                if not kept.given:
                    return False
        return True

    def end(self, worker: int) -> None:
        """A worker has ended: its channels go when all that lies in them has been taken."""
        for kept in self._kept:
            kept.over = kept.over or kept.worker == worker
        self.sweep()

    def sweep(self) -> None:
        """Give back those of workers that have ended in which nothing is left."""
        for kept in [kept for kept in self._kept if kept.over and kept.is_empty]:
            self._kept.remove(kept)
            kept.end.close()

    def drop(self, cycle: Cycle, helper: str) -> None:
        """The helper of this name has ended, and gets no successor."""
        for kept in [kept for kept in self._kept if kept.over and kept.cycle is cycle and kept.helper == helper]:
            self._kept.remove(kept)
            kept.end.close()

    def close(self, but: Iterable[socket.socket] = ()) -> None:
        """Give all back, as a child that has inherited them, but for some."""
        remaining = set(map(socket.socket.fileno, but))
        for kept in self._kept:
            if kept.end.fileno() not in remaining:
                kept.end.close()
        self._kept.clear()
