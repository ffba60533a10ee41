"""Waiting for descriptors: the one interface that the loop knows, and what is made of any selector of Python.

On Linux `native/core/epoll.c` has the same interface: a login registers three descriptors and wakes some eight times.
"""

from __future__ import annotations

import selectors
import sys
from typing import TYPE_CHECKING, Protocol

from mailworker.native.core import accelerator
from mailworker.native.core.readiness import READ, WRITE

if TYPE_CHECKING:
    from mailworker.event.loop import LoopState

__all__ = ["READ", "WRITE", "Handler", "Poller", "SelectorPoller", "new_poller"]


class Handler(Protocol):
    """What a descriptor is watched for."""

    def ready(self, mask: int) -> None:
        """The descriptor may be read from (READ) or written to (WRITE); a call on it may still block."""


class Poller(Protocol):
    """Watches descriptors, level triggered. What is watched twice or not at all raises KeyError, a refusal OSError."""

    @property
    def method(self) -> str:
        """Its name, as the `use` directive spells it."""

    def watch(self, descriptor: int, events: int, handler: Handler, /) -> None:
        """Call `handler.ready` when the descriptor, not watched so far, is ready for events."""

    def watch_exclusive(self, descriptor: int, handler: Handler, /) -> None:
        """Watch a listening socket that other processes watch too, waking as few of them as the system can."""

    def change(self, descriptor: int, events: int, handler: Handler, /) -> None:
        """Wait for other events on a watched descriptor, or call another handler."""

    def unwatch(self, descriptor: int, /) -> None:
        """Wait for a watched descriptor no longer."""

    def forget(self, descriptor: int, /) -> None:
        """Wait no longer for a watched descriptor that is about to be closed."""

    def dispatch(self, loop: LoopState, timeout: float | None, /) -> None:
        """Wait up to `timeout` seconds (None: for ever), set `loop.now`, and call the handlers of what is ready.

        It may wait again by itself, as long as nothing of `loop.timers` is due and `loop.urgent` is false. An exception
        of a handler is raised at once; descriptors that had no turn are still ready in the next round.
        """

    def close(self) -> None:
        """Watch no more; may be called again."""


class SelectorPoller:
    """A poller of any `selectors.BaseSelector`, whose keys have the handler as data. It waits once."""

    __slots__ = ("_selector",)

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector

    @property
    def method(self) -> str:
        return type(self._selector).__name__.removesuffix("Selector").lower()

    def watch(self, descriptor: int, events: int, handler: Handler, /) -> None:
        self._selector.register(descriptor, events, handler)

    def watch_exclusive(self, descriptor: int, handler: Handler, /) -> None:
        self._selector.register(descriptor, READ, handler)

    def change(self, descriptor: int, events: int, handler: Handler, /) -> None:
        self._selector.modify(descriptor, events, handler)

    def unwatch(self, descriptor: int, /) -> None:
        self._selector.unregister(descriptor)

    forget = unwatch

    def dispatch(self, loop: LoopState, timeout: float | None, /) -> None:
        ready = self._selector.select(timeout)
        loop.now = loop.clock()
        for (_, _, _, handler), mask in ready:
            handler.ready(mask)

    def close(self) -> None:
        self._selector.close()


def new_poller() -> Poller:
    """The best one of this system."""
    if accelerator is not None and sys.platform == "linux":
        poller: Poller = accelerator.Epoll()
        return poller
    return SelectorPoller(selectors.DefaultSelector())
