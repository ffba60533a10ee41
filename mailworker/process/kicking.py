"""Messages that make workers end sessions; a worker that has no room for one gets it later."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from mailworker.model import After
from mailworker.process.link import MOST_KICKED, Kick
from mailworker.process.retry import Retry

MOST_WAITING: Final = 1 << 20
"""The most sessions whose messages may be pending."""


class Chosen(NamedTuple):
    """A session as a SessionRow names it: the row of its worker, its number there, and its id."""

    worker: int
    number: int
    id: str


class Kicking:
    """Sends the messages by `send(worker, kick)`, which returns False if the worker of this row has no room.

    `after(seconds, action)` arranges for a call later. `waiting` counts the sessions of pending messages.
    """

    __slots__ = ("_pending", "_retry", "_send", "waiting")

    def __init__(self, send: Callable[[int, Kick], bool], after: After) -> None:
        self._pending: defaultdict[int, deque[Kick]] = defaultdict(deque)  # by worker, oldest first
        self._retry = Retry(after, self._send_pending)
        self._send = send
        self.waiting = 0

    def kick(self, chosen: Sequence[Chosen], why: str) -> bool:
        """End these sessions; False if too many are pending. `why` is for the log, and already escaped.

        A session that ended before its worker receives the message is not mistaken for the next one in its row.
        """
        if self.waiting + len(chosen) > MOST_WAITING:
            return False
        by_worker: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
        for session in chosen:
            by_worker[session.worker].append((session.number, session.id))
        for worker, sessions in by_worker.items():
            for start in range(0, len(sessions), MOST_KICKED):
                self._pending[worker].append(Kick(tuple(sessions[start : start + MOST_KICKED]), why))
        self.waiting += len(chosen)
        self._retry.now()
        return True

    def _send_pending(self) -> bool:
        """Send what can be sent; returns whether nothing is pending."""
        for worker, kicks in tuple(self._pending.items()):
            while kicks and self._send(worker, kicks[0]):
                self.waiting -= len(kicks.popleft().sessions)
            if not kicks:
                del self._pending[worker]
        return not self._pending
