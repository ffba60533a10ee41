"""What was found in files, kept until every child has it: one that takes nothing keeps nothing from the others."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Protocol

from mailworker.model import After
from mailworker.process.link import USERS, Found
from mailworker.process.retry import Retry


class Listener(Protocol):
    """A child; `heard` counts the items that it has, those included that were found before its start."""

    heard: int

    def hear(self, found: Found) -> bool:
        """Take what was found; False where there is no room for it yet."""


class News:
    """Items in order, and those who listen; `end` is the number of items so far. Their descriptors are closed here.

    `after(seconds, action)` arranges for a call later.
    """

    __slots__ = ("_first", "_items", "_listeners", "_retry")

    def __init__(self, listeners: Collection[Listener], after: After) -> None:
        self._first = 0  # the number of the first that is kept
        self._items: list[Found | None] = []  # None for users of which there are newer ones
        self._listeners = listeners
        self._retry = Retry(after, self._tell_all)

    @property
    def end(self) -> int:
        """What a child that is forked now has heard."""
        return self._first + len(self._items)

    def add(self, found: Found) -> None:
        """Tell of what was found, and later those that have no room now.

        Users replace those of the same file that wait; certificates are changes to earlier ones.
        """
        for index, item in enumerate(self._items):
            if item is not None and found.kind == USERS == item.kind and found.path == item.path:
                os.close(item.descriptor)
                self._items[index] = None
        self._items.append(found)
        self._retry.now()

    def close(self) -> None:
        """Close all, as in a child that has inherited them."""
        _close(self._items)
        self._items.clear()

    def _tell_all(self) -> bool:
        for listener in self._listeners:
            self._tell(listener)
        count = min((each.heard for each in self._listeners), default=self.end) - self._first
        _close(self._items[:count])
        del self._items[:count]
        self._first += count
        return not self._items

    def _tell(self, listener: Listener) -> None:
        for item in self._items[listener.heard - self._first :]:
            if item is not None and not listener.hear(item):
                return
            listener.heard += 1


def _close(items: Iterable[Found | None]) -> None:
    for item in items:
        if item is not None:
            os.close(item.descriptor)
