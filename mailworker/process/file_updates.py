"""Updates of files for the master's children. Each is kept until every child has received it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Protocol

from mailworker.model import After
from mailworker.process.link import USERS, FileUpdate
from mailworker.process.retry import Retry


class Subscriber(Protocol):
    """A child. `received` counts the updates that it has; those before its fork count too."""

    received: int

    def send(self, update: FileUpdate) -> bool:
        """Send an update; False if the child has no room for it yet."""


class FileUpdates:
    """A queue of updates. A slow child delays no other; descriptors are closed when all children have them.

    `end` is the number of updates so far. `after(seconds, action)` arranges for a call later.
    """

    __slots__ = ("_first", "_kept", "_retry", "_subscribers")

    def __init__(self, subscribers: Collection[Subscriber], after: After) -> None:
        self._first = 0  # the number of the first update that is kept
        self._kept: list[FileUpdate | None] = []  # None: a later update replaces it
        self._retry = Retry(after, self._send_all)
        self._subscribers = subscribers

    @property
    def end(self) -> int:
        """The value of `received` for a child that is forked now."""
        return self._first + len(self._kept)

    def add(self, update: FileUpdate) -> None:
        """Send an update to all children, and retry later for those that have no room now.

        An update of a user file replaces earlier ones of the same file; each update of certificates is needed.
        """
        for index, kept in enumerate(self._kept):
            if kept is not None and update.kind == USERS == kept.kind and update.path == kept.path:
                os.close(kept.descriptor)
                self._kept[index] = None
        self._kept.append(update)
        self._retry.now()

    def close(self) -> None:
        """Close all descriptors, as in a child that has inherited them."""
        _close(self._kept)
        self._kept.clear()

    def _send_all(self) -> bool:
        """Send what can be sent; returns whether nothing is left."""
        for subscriber in self._subscribers:
            self._send(subscriber)
        count = min((each.received for each in self._subscribers), default=self.end) - self._first
        _close(self._kept[:count])
        del self._kept[:count]
        self._first += count
        return not self._kept

    def _send(self, subscriber: Subscriber) -> None:
        for update in self._kept[subscriber.received - self._first :]:
            if update is not None and not subscriber.send(update):
                return
            subscriber.received += 1


def _close(updates: Iterable[FileUpdate | None]) -> None:
    for update in updates:
        if update is not None:
            os.close(update.descriptor)
