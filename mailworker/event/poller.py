"""Waiting for descriptors: the interface that the loop uses, epoll, and an adapter for any selector of Python.

native/core/epoll.c has Epoll in C: a login registers three descriptors and wakes some eight times.
"""

from __future__ import annotations

import select
import selectors
import sys
from typing import TYPE_CHECKING, Final, Protocol

from mailworker.event import sockets
from mailworker.native.core import accelerator
from mailworker.native.core.readiness import READ, WRITE

if TYPE_CHECKING:
    from mailworker.event.loop import LoopState

__all__ = ["MANY", "READ", "WRITE", "Epoll", "Handler", "Poller", "SelectorPoller", "new_poller"]


MANY: Final = 32
"""The most handlers that are late at once: so many are served within a round, before other ready descriptors."""


class Handler(Protocol):
    """The object that is called when a watched descriptor is ready."""

    def ready(self, mask: int) -> None:
        """The descriptor may be read from (READ) or written to (WRITE); a call on it may still block.

        0 is the turn of a handler that is in `LoopState.late`.
        """


class Poller(Protocol):
    """Watches descriptors, level triggered. Watching a descriptor twice raises KeyError, as does an unknown one.

    A refusal by the system raises OSError.
    """

    @property
    def method(self) -> str:
        """Its name, as the `use` directive spells it."""

    def watch(self, descriptor: int, events: int, handler: Handler, /) -> None:
        """Call `handler.ready` when the descriptor, not watched so far, is ready for `events`."""

    def watch_exclusive(self, descriptor: int, handler: Handler, /) -> None:
        """Watch a listening socket that other processes watch too, waking as few of them as the system can."""

    def change(self, descriptor: int, events: int, handler: Handler, /) -> None:
        """Watch a descriptor, watched already, for other events or with another handler."""

    def unwatch(self, descriptor: int, /) -> None:
        """Stop watching a descriptor."""

    def forget(self, descriptor: int, /) -> None:
        """Stop watching a descriptor that is about to be closed."""

    def dispatch(self, loop: LoopState, timeout: float | None, /) -> None:
        """Wait up to `timeout` seconds (None: for ever), set `loop.now`, and call the handlers of ready descriptors.

        It may wait again by itself, as long as nothing of `loop.timers` is due and `loop.urgent` is false. It may
        return early after a signal. An exception of a handler is raised at once; descriptors that had no turn are
        reported again in the next round.
        """

    def close(self) -> None:
        """Stop watching all descriptors; may be called again."""


class SelectorPoller:
    """A poller over any `selectors.BaseSelector`, whose keys have the handler as data. `dispatch` waits once."""

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
            _call(loop, handler, mask)

    def close(self) -> None:
        self._selector.close()


class Epoll:
    """The poller of Linux. An event is dropped if its watch has ended since, or began in the present round."""

    __slots__ = ("_epoll", "_handlers", "_round", "_watched")

    method = "epoll"

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._round = 0
        self._watched: dict[int, tuple[int, int]] = {}  # the events, and the round in which watching began

    def watch(self, descriptor: int, events: int, handler: Handler, /) -> None:
        self._add(descriptor, events, _bits(events), handler)

    def watch_exclusive(self, descriptor: int, handler: Handler, /) -> None:
        self._add(descriptor, READ, select.EPOLLIN | select.EPOLLEXCLUSIVE, handler)

    def _add(self, descriptor: int, events: int, bits: int, handler: Handler) -> None:
        if descriptor in self._handlers:
            raise KeyError(f"{descriptor} is already registered")
        self._epoll.register(descriptor, bits)
        self._handlers[descriptor] = handler
        self._watched[descriptor] = events, self._round

    def change(self, descriptor: int, events: int, handler: Handler, /) -> None:
        watched, since = self._watched[descriptor]
        if watched != events:
            self._epoll.modify(descriptor, _bits(events))
            self._watched[descriptor] = events, since
        self._handlers[descriptor] = handler

    def unwatch(self, descriptor: int, /) -> None:
        self.forget(descriptor)
        self._epoll.unregister(descriptor)

    def forget(self, descriptor: int, /) -> None:
        del self._handlers[descriptor], self._watched[descriptor]

    def dispatch(self, loop: LoopState, timeout: float | None, /) -> None:
        ready = self._epoll.poll(timeout, _EVENTS_PER_CALL)
        loop.now = loop.clock()
        self._round += 1
        for descriptor, bits in ready:
            events, since = self._watched.get(descriptor, _NOTHING)
            if since < self._round and (mask := _mask(descriptor, bits) & events):
                _call(loop, self._handlers[descriptor], mask)

    def close(self) -> None:
        self._handlers.clear()
        self._watched.clear()
        self._epoll.close()


_EVENTS_PER_CALL: Final = 512  # as nginx's epoll_events
_NOTHING: Final = 0, 0


def _call(loop: LoopState, handler: Handler, mask: int) -> None:
    handler.ready(mask)
    if len(loop.late) >= MANY:
        loop.serve_late()


def _bits(events: int) -> int:
    if not 0 < events <= READ | WRITE:
        raise ValueError(f"Invalid events: {events}")
    return (select.EPOLLIN if events & READ else 0) | (select.EPOLLOUT if events & WRITE else 0)


def _mask(descriptor: int, bits: int) -> int:
    if bits & select.EPOLLHUP or (bits & select.EPOLLERR and not sockets.took_message(descriptor)):
        return READ | WRITE  # the next call on the descriptor gives the error
    return (READ if bits & select.EPOLLIN else 0) | (WRITE if bits & select.EPOLLOUT else 0)


if accelerator is not None and sys.platform == "linux" and not TYPE_CHECKING:
    Epoll = accelerator.Epoll


def new_poller() -> Poller:
    """The best poller of this system."""
    return Epoll() if sys.platform == "linux" else SelectorPoller(selectors.DefaultSelector())
