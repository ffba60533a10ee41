"""The selector a worker waits on.

`selectors.BaseSelector` is the interface. On Linux `EpollSelector` below implements it with less work per call
than the standard library's: a login registers three descriptors and wakes some eight times, and there the
stock class spends about half of all its CPU. Elsewhere the standard library's best selector serves.
"""

from __future__ import annotations

import select
import selectors
from collections.abc import Mapping
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import Any

READ = EVENT_READ
WRITE = EVENT_WRITE


def new_selector() -> selectors.BaseSelector:
    """The best selector of this system; its keys' `data` is the handler to call."""
    return EpollSelector() if hasattr(select, "epoll") else selectors.DefaultSelector()


if hasattr(select, "epoll"):
    _READABLE = select.EPOLLIN
    _WRITABLE = select.EPOLLOUT
    _FAILED = select.EPOLLHUP | select.EPOLLERR
    _TO_EPOLL = (0, _READABLE, _WRITABLE, _READABLE | _WRITABLE)
    _EVENTS_PER_CALL = 512  # as nginx's epoll_events

    class EpollSelector(selectors.BaseSelector):
        """`BaseSelector` over epoll for plain descriptors (ints), level triggered."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._keys: dict[int, SelectorKey] = {}

        def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
            """Start to watch the descriptor `fileobj`; raises KeyError if it is watched already."""
            if fileobj in self._keys:
                raise KeyError(f"{fileobj} is already registered")
            self._epoll.register(fileobj, _TO_EPOLL[events])
            key = self._keys[fileobj] = SelectorKey(fileobj, fileobj, events, data)
            return key

        def register_exclusive(self, fileobj: int, data: Any) -> None:
            """Watch a listening socket that other processes watch too: a connection wakes few of them, not all."""
            self._epoll.register(fileobj, _READABLE | select.EPOLLEXCLUSIVE)
            self._keys[fileobj] = SelectorKey(fileobj, fileobj, READ, data)

        def unregister(self, fileobj: Any) -> SelectorKey:
            """Stop to watch; raises KeyError if the descriptor is not watched."""
            key = self._keys.pop(fileobj)
            self._epoll.unregister(fileobj)
            return key

        def forget(self, fileobj: int) -> None:
            """Stop to watch a descriptor that is closed at once, which takes it out of epoll too."""
            del self._keys[fileobj]

        def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
            """Watch for other events, or for another handler."""
            if events != self._keys[fileobj].events:
                self._epoll.modify(fileobj, _TO_EPOLL[events])
            key = self._keys[fileobj] = SelectorKey(fileobj, fileobj, events, data)
            return key

        def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
            """Wait up to `timeout` seconds (None: for ever) and say which keys are ready for what."""
            keys = self._keys
            ready = []
            for descriptor, event in self._epoll.poll(timeout, _EVENTS_PER_CALL):
                key = keys[descriptor]
                if event & _FAILED:  # a failure shows in whatever call the waiter makes next
                    mask = key.events
                else:
                    mask = (READ if event & _READABLE else 0) | (WRITE if event & _WRITABLE else 0)
                ready.append((key, mask))
            return ready

        def close(self) -> None:
            """Close the epoll descriptor."""
            self._keys.clear()
            self._epoll.close()

        def get_map(self) -> Mapping[Any, SelectorKey]:
            """The watched descriptors."""
            return self._keys
