"""Ends sessions of workers, a bounded number per second, because their clients reconnect at once."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from mailworker.model import After
from mailworker.process.link import MOST_KICKED, Kick

MOST_WAITING: Final = 1 << 20
"""Sessions that may wait to be ended; more are refused."""

DEFAULT_RATE: Final = 100.0
"""Sessions a second."""

_TICK: Final = 0.1  # seconds


class Chosen(NamedTuple):
    """A session as a SessionRow names it: the row of its worker, its number there, and its id."""

    worker: int
    number: int
    id: str


class Kicking:
    """`send(worker, kick)` sends a message to the worker with this row; it returns False where that has no room yet.

    `after(seconds, action)` arranges for a call later.
    """

    __slots__ = ("_after", "_send", "waiting")

    def __init__(self, send: Callable[[int, Kick], bool], after: After) -> None:
        self._after = after
        self._send = send
        self.waiting = 0

    def kick(self, chosen: Iterable[Chosen], why: str, rate: float = DEFAULT_RATE) -> bool:
        """End these, `rate` of them a second, which is more than 0; `why` is for the log, and already escaped.

        False where too many wait. If a session has ended by then, its successor in the row is left alone.
        """
        queue = deque(chosen)
        if self.waiting + len(queue) > MOST_WAITING:
            return False
        self.waiting += len(queue)
        self._go_on(_Run(queue, why, rate))
        return True

    def _go_on(self, run: _Run) -> None:
        """Send the messages that are due; a worker that has no room gets its message later."""
        pause = max(_TICK, 1 / run.rate)
        due = min(len(run.queue), max(int(run.rate * pause), 1))
        by_worker: defaultdict[int, list[Chosen]] = defaultdict(list)
        for _ in range(due):
            session = run.queue.popleft()
            by_worker[session.worker].append(session)
        self.waiting -= due
        for worker, sessions in by_worker.items():
            for start in range(0, len(sessions), MOST_KICKED):
                part = sessions[start : start + MOST_KICKED]
                if not self._send(worker, Kick(tuple((each.number, each.id) for each in part), run.why)):
                    run.queue.extend(part)
                    self.waiting += len(part)
        if run.queue:
            self._after(pause, lambda: self._go_on(run))


class _Run(NamedTuple):
    queue: deque[Chosen]
    why: str
    rate: float
