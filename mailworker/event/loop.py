"""The loop of a worker: wait, then call who is ready and who is due."""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol

from mailworker.event.selector import READ, new_selector
from mailworker.event.timers import Timed, Timers


class Handler(Protocol):
    """What a descriptor is watched for."""

    def ready(self, mask: int) -> None:
        """The descriptor may be read from (READ) or written to (WRITE); a call on it may still block."""


Dispatch = Callable[["Loop", Callable[[], float], Timers, float | None], None]


class Loop:
    """Calls handlers when their descriptors are ready and timed objects when their deadline has passed.

    `now` is the monotonic time in seconds at which the present round began. `on_bug` gets every exception that a task
    did not expect. `urgent` tells the selector not to wait again by itself.
    """

    __slots__ = (
        "_again",
        "_dispatch",
        "_selector",
        "_stopped",
        "_timers",
        "cancel_deadline",
        "change",
        "forget",
        "now",
        "on_bug",
        "unwatch",
        "urgent",
        "watch",
        "watch_exclusive",
    )

    # Methods of the selector and of the timers, without a call in between.
    watch: Callable[[int, int, Handler], object]
    """Call `handler.ready` when the descriptor, not watched so far, is ready for events."""
    watch_exclusive: Callable[[int, Handler], object]
    """Watch a listening socket that other processes watch too, waking as few of them as the system can."""
    change: Callable[[int, int, Handler], object]
    """Wait for other events on a watched descriptor, or call another handler."""
    unwatch: Callable[[int], object]
    """Wait for a watched descriptor no longer."""
    forget: Callable[[int], object]
    """Wait no longer for a watched descriptor that is about to be closed."""
    cancel_deadline: Callable[[Timed], None]
    """Forget the deadline of a timed object, if it has one."""

    def __init__(self, on_bug: Callable[[Exception], None], selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selector = new_selector() if selector is None else selector
        self.watch = getattr(selector, "watch", selector.register)
        self.watch_exclusive = getattr(selector, "watch_exclusive", partial(_watch_as_any, selector))
        self.change = getattr(selector, "change", selector.modify)
        self.unwatch = getattr(selector, "unwatch", selector.unregister)
        self.forget = getattr(selector, "forget", selector.unregister)
        self._dispatch: Dispatch = getattr(selector, "dispatch", partial(_dispatch, selector))
        self._timers = Timers()
        self.cancel_deadline = self._timers.cancel
        self._again: deque[Handler] = deque()
        self._stopped = self.urgent = False
        self.now = monotonic()
        self.on_bug = on_bug

    @property
    def method(self) -> str:
        """The selector's name as the `use` directive spells it."""
        return type(self._selector).__name__.removesuffix("Selector").lower()

    def again(self, handler: Handler) -> None:
        """Call `handler.ready` in the next round as if its descriptor were readable: it has input of its own."""
        self._again.append(handler)
        self.urgent = True

    def set_deadline(self, timed: Timed, deadline: float) -> None:
        """Call `timed.expire` once when `deadline`, a monotonic time in seconds, has passed."""
        self._timers.set(timed, deadline, self.now)

    def run(self) -> None:
        """Serve until `stop` is called. After a bug in a handler, what is ready is reported again to all others."""
        self.now = monotonic()
        while not self._stopped:
            try:
                self._serve_round()
            except Exception as bug:
                self.on_bug(bug)

    def _serve_round(self) -> None:
        timers, again = self._timers, self._again
        turns = len(again)
        self.urgent = turns > 0  # these handlers are called right after this round
        self._dispatch(self, monotonic, timers, 0.0 if turns else timers.delay(self.now))
        for _ in range(turns):
            again.popleft().ready(READ)
        if timers.first <= self.now:
            timers.expire(self.now)

    def stop(self) -> None:
        """Let `run` return after the present round."""
        self._stopped = self.urgent = True

    def close(self) -> None:
        """Give the selector's descriptor back; the loop cannot be used any more."""
        self._selector.close()


def _watch_as_any(selector: selectors.BaseSelector, descriptor: int, handler: Handler) -> None:
    """`watch_exclusive` for selectors that know no such thing."""
    selector.register(descriptor, READ, handler)


def _dispatch(
    selector: selectors.BaseSelector, loop: Loop, clock: Callable[[], float], _timers: Timers, timeout: float | None
) -> None:
    """What `EpollSelector.dispatch` does, for all other selectors; they wait once."""
    ready = selector.select(timeout)
    loop.now = clock()
    for (_, _, _, handler), mask in ready:
        handler.ready(mask)
