"""Small pieces in quick succession, which the kernel gathers; native/relay/side.c counts them in C.

A peer that writes small pieces in quick succession, as PHPMailer writes the lines of a mail, would wake this process
for each of them, and then the other side's peer. So the side's socket gets a low-water mark (SO_RCVLOWAT), below which
the kernel reports no input but its end, until the peer pauses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mailworker.event import sockets
from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.event.timers import Timed

if TYPE_CHECKING:
    from mailworker.event.relay import Side

__all__ = ["gather", "start"]

_QUICK: Final = 0.0001  # seconds between two pieces
_SMALL: Final = 512  # bytes of a piece
_ENOUGH: Final = 32  # pieces in a row; so many are counted as long as the kernel gathers those that follow
_MARK: Final = 2048  # bytes
_NO_MARK: Final = 1
_PAUSE: Final = 0.001  # seconds


def gather(side: Side, loop: Loop, pause: float, size: int) -> None:
    """Have the kernel gather the peer's pieces, if these are many small ones in a row.

    The side has moved `size` bytes now, `pause` seconds after the loop had called it before.
    """
    if side.other.pieces != _ENOUGH:
        side.other.pieces = 0  # in a dialogue each peer waits for the other one's piece
    if side.pieces == _ENOUGH:
        return
    if pause > _QUICK or not 0 < size <= _SMALL:
        side.pieces = 0
        return
    side.pieces += 1
    if side.pieces == _ENOUGH:
        start(side, loop)


def start(side: Side, loop: Loop) -> None:
    """Have the kernel gather the peer's pieces until a pause."""
    if sockets.set_low_water(side.descriptor, _MARK):  # else it is not asked again for this side
        loop.set_deadline(_Gathering(side, loop), side.active + _PAUSE)


class _Gathering(Timed):
    """Waits for the pause."""

    __slots__ = ("_loop", "_side")

    def __init__(self, side: Side, loop: Loop) -> None:
        super().__init__()
        self._loop = loop
        self._side = side

    def expire(self) -> None:
        side, loop = self._side, self._loop
        if side.closed:
            return
        if side.active + _PAUSE > loop.now:
            try:
                loop.set_deadline(self, side.active + _PAUSE)
            except MemoryError:
                self._stop()  # nothing else would
                raise
        else:
            self._stop()
            side.ready(READ)  # not every system reports what was below the mark

    def _stop(self) -> None:
        self._side.pieces = 0
        sockets.set_low_water(self._side.descriptor, _NO_MARK)
