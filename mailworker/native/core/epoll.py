"""The selector of Linux."""

from __future__ import annotations

from collections.abc import Mapping
from selectors import BaseSelector, SelectorKey
from typing import Any

from mailworker.native.core._epoll import Epoll


class EpollSelector(Epoll, BaseSelector):
    """`BaseSelector` for everybody who wants one. A loop calls what is below it, which makes no keys.

    Keys and the map have the descriptor alone, whatever was registered.
    """

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        """Start to watch; raises KeyError for what is watched already, OSError, and ValueError for no descriptor."""
        self.watch(fileobj, events, data)
        return self.get_key(fileobj)

    def unregister(self, fileobj: Any) -> SelectorKey:
        """Stop to watch; raises KeyError for what is not watched, and OSError."""
        key = self.get_key(fileobj)
        self.unwatch(fileobj)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        """Watch for other events, or for another handler; raises KeyError and OSError."""
        self.change(fileobj, events, data)
        return self.get_key(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait up to `timeout` seconds (None: for ever) and say which keys are ready for what."""
        ready = self.wait(timeout)
        keys = self.get_map()
        return [(keys[descriptor], mask) for descriptor, mask in ready]

    def get_key(self, fileobj: Any) -> SelectorKey:
        """What is watched there; raises KeyError."""
        return self.get_map()[fileobj if isinstance(fileobj, int) else fileobj.fileno()]

    def get_map(self) -> Mapping[Any, SelectorKey]:
        """What is watched at this moment, by descriptor."""
        return {entry[0]: SelectorKey(entry[0], *entry) for entry in self.watched()}
