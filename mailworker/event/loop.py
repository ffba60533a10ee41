"""The loop of a worker: wait, then call the watchers of ready descriptors and the timers that are due."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from mailworker.event.poller import READ, Handler, Poller, new_poller
from mailworker.event.timers import Timed, Timers
from mailworker.native.core import accelerator

__all__ = ["Handler", "Loop", "LoopState"]


class LoopState:
    """The fields of a loop that streams, tasks and pollers read; native/core/loop.c has it as a struct.

    `now` is the time of `clock`, in seconds, when the present round began. `urgent` tells the poller not to wait again
    by itself. `on_bug` gets every exception that a task did not expect. `late` lists the handlers that have put
    something off until the loop would wait.
    """

    __slots__ = ("clock", "late", "now", "on_bug", "poller", "timers", "urgent")

    def __init__(self, poller: Poller, clock: Callable[[], float], on_bug: Callable[[Exception], None], /) -> None:
        self.clock = clock
        self.late: list[Handler] = []
        self.now = clock()
        self.on_bug = on_bug
        self.poller = poller
        self.timers = Timers()
        self.urgent = False

    def serve_late(self) -> None:
        """Call `ready` with 0 of all `late` handlers; after a bug the others have their turn in the next call."""
        late = self.late
        while late:
            late.pop(0).ready(0)


if accelerator is not None and not TYPE_CHECKING:
    LoopState = accelerator.LoopState


class Loop(LoopState):
    """Calls handlers when their descriptors are ready and timed objects when their deadline has passed."""

    __slots__ = (
        "_again", "_stopped", "cancel_deadline", "change", "forget", "unwatch", "watch", "watch_exclusive",
    )  # fmt: skip

    def __init__(self, on_bug: Callable[[Exception], None], poller: Poller | None = None) -> None:
        super().__init__(new_poller() if poller is None else poller, monotonic, on_bug)
        # Methods of the poller and of the timers, bound here to spare a call.
        self.watch = self.poller.watch
        self.watch_exclusive = self.poller.watch_exclusive
        self.change = self.poller.change
        self.unwatch = self.poller.unwatch
        self.forget = self.poller.forget
        self.cancel_deadline = self.timers.cancel
        self._again: deque[Handler] = deque()
        self._stopped = False

    @property
    def method(self) -> str:
        """The poller's name as the `use` directive spells it."""
        return self.poller.method

    def again(self, handler: Handler) -> None:
        """Call `handler.ready` in the next round as if its descriptor were readable: its TLS holds input already."""
        self._again.append(handler)
        self.urgent = True

    def set_deadline(self, timed: Timed, deadline: float) -> None:
        """Call `timed.expire` once when `deadline`, a monotonic time in seconds, has passed."""
        self.timers.set(timed, deadline, self.now)

    def run(self) -> None:
        """Serve until `stop` is called. After a bug in a handler, the other ready descriptors are reported again."""
        self.now = self.clock()
        while not self._stopped:
            try:
                self._serve_round()
            except Exception as bug:
                self.on_bug(bug)

    def _serve_round(self) -> None:
        self.serve_late()
        if self._stopped:
            return
        timers, again = self.timers, self._again
        turns = len(again)
        self.urgent = turns > 0  # these handlers are called right after this round
        self.poller.dispatch(self, 0.0 if turns else timers.delay(self.now))
        for _ in range(turns):
            again.popleft().ready(READ)
        if timers.first <= self.now:
            timers.expire(self.now)

    def stop(self) -> None:
        """Make `run` return after the present round."""
        self._stopped = self.urgent = True

    def close(self) -> None:
        """Close the poller's descriptor; the loop cannot be used any more."""
        self.poller.close()
