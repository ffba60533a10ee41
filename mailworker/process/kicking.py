"""Ends sessions of workers: a worker that has no room for a message gets it later."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from mailworker.model import After
from mailworker.process.link import MOST_KICKED, Kick
from mailworker.process.retry import Retry

MOST_WAITING: Final = 1 << 20
"""Sessions that may wait to be ended; more are refused."""


class Chosen(NamedTuple):
    """A session as a SessionRow names it: the row of its worker, its number there, and its id."""

    worker: int
    number: int
    id: str


class Kicking:
    """`send(worker, kick)` sends a message to the worker with this row; it returns False where that has no room yet.

    `after(seconds, action)` arranges for a call later. `waiting` counts the sessions of messages that are sent later.
    """

    __slots__ = ("_left", "_retry", "_send", "waiting")

    def __init__(self, send: Callable[[int, Kick], bool], after: After) -> None:
        self._left: defaultdict[int, deque[Kick]] = defaultdict(deque)  # by worker, oldest first
        self._retry = Retry(after, self._send_left)
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
        for worker, sessions in by_worker.items():
            for start in range(0, len(sessions), MOST_KICKED):
                self._left[worker].append(Kick(tuple(sessions[start : start + MOST_KICKED]), why))
        self.waiting += len(chosen)
        self._retry.now()
        return True

    def _send_left(self) -> bool:
        """Whether nothing is left to be sent."""
        for worker, kicks in tuple(self._left.items()):
            while kicks and self._send(worker, kicks[0]):
                self.waiting -= len(kicks.popleft().sessions)
            if not kicks:
                del self._left[worker]
        return not self._left
