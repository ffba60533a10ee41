"""Ends sessions of workers: a worker that has no room for a message gets it later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from mailworker.model import After
from mailworker.process.link import MOST_KICKED, Kick

MOST_WAITING: Final = 1 << 20
"""Sessions that may wait to be ended; more are refused."""

_PAUSE: Final = 0.1  # seconds until a message is sent again


class Chosen(NamedTuple):
    """A session as a SessionRow names it: the row of its worker, its number there, and its id."""

    worker: int
    number: int
    id: str


class Kicking:
    """`send(worker, kick)` sends a message to the worker with this row; it returns False where that has no room yet.

    `after(seconds, action)` arranges for a call later. `waiting` counts the sessions of messages that are sent later.
    """

    __slots__ = ("_after", "_send", "waiting")

    def __init__(self, send: Callable[[int, Kick], bool], after: After) -> None:
        self._after = after
        self._send = send
        self.waiting = 0

    def kick(self, chosen: Sequence[Chosen], why: str) -> bool:
        """End these; `why` is for the log, and already escaped. False where too many wait.

        If a session has ended by the time its worker hears of it, its successor in the row is left alone.
        """
        if self.waiting + len(chosen) > MOST_WAITING:
            return False
        by_worker: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
        for session in chosen:
            by_worker[session.worker].append((session.number, session.id))
        self._send_all(
            [
                (worker, Kick(tuple(sessions[start : start + MOST_KICKED]), why))
                for worker, sessions in by_worker.items()
                for start in range(0, len(sessions), MOST_KICKED)
            ]
        )
        return True

    def _send_all(self, kicks: Sequence[tuple[int, Kick]]) -> None:
        left = [each for each in kicks if not self._send(*each)]
        if left:
            self.waiting += _sessions(left)
            self._after(_PAUSE, lambda: self._send_again(left))

    def _send_again(self, kicks: Sequence[tuple[int, Kick]]) -> None:
        self.waiting -= _sessions(kicks)
        self._send_all(kicks)


def _sessions(kicks: Sequence[tuple[int, Kick]]) -> int:
    return sum(len(kick.sessions) for _, kick in kicks)
