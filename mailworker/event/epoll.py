"""`selectors.BaseSelector` over epoll (Linux), with less work per call than the standard library's."""

from __future__ import annotations

import select
import selectors
from collections.abc import Mapping
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import Any, Final

_READABLE: Final[int] = select.EPOLLIN
_WRITABLE: Final[int] = select.EPOLLOUT
_FAILED: Final[int] = select.EPOLLHUP | select.EPOLLERR
_TO_EPOLL = (0, _READABLE, _WRITABLE, _READABLE | _WRITABLE)
_EVENTS_PER_CALL = 512  # as nginx's epoll_events


def _mask(bits: int) -> int:
    if bits & _FAILED:  # shows in whatever call the waiter makes next
        return EVENT_READ | EVENT_WRITE
    return (EVENT_READ if bits & _READABLE else 0) | (EVENT_WRITE if bits & _WRITABLE else 0)


# What any set of the bits above means.
_FROM_EPOLL = tuple(_mask(bits) for bits in range(32))


def _new_key(descriptor: int, events: int, data: Any) -> SelectorKey:
    """What SelectorKey() gives, without the Python code of named tuples."""
    return tuple.__new__(SelectorKey, (descriptor, descriptor, events, data))


class EpollSelector(selectors.BaseSelector):
    """`BaseSelector` for plain descriptors (ints), level triggered."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        """Start to watch the descriptor `fileobj`; raises KeyError if it is watched already."""
        if fileobj in self._keys:
            raise KeyError(f"{fileobj} is already registered")
        self._epoll.register(fileobj, _TO_EPOLL[events])
        key = self._keys[fileobj] = _new_key(fileobj, events, data)
        return key

    def register_exclusive(self, fileobj: int, data: Any) -> None:
        """Watch a listening socket that other processes watch too: a connection wakes few of them, not all."""
        self._epoll.register(fileobj, _READABLE | select.EPOLLEXCLUSIVE)
        self._keys[fileobj] = _new_key(fileobj, EVENT_READ, data)

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
        key = self._keys[fileobj] = _new_key(fileobj, events, data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait up to `timeout` seconds (None: for ever) and say which keys are ready for what."""
        keys = self._keys
        ready = []
        for descriptor, event in self._epoll.poll(timeout, _EVENTS_PER_CALL):
            key = keys[descriptor]
            ready.append((key, _FROM_EPOLL[event & 31] & key.events))
        return ready

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._keys.clear()
        self._epoll.close()

    def get_map(self) -> Mapping[Any, SelectorKey]:
        """The watched descriptors."""
        return self._keys
