"""The selector of Linux."""

from __future__ import annotations

from selectors import BaseSelector

from mailworker.native._epoll import Epoll


class EpollSelector(Epoll, BaseSelector):
    """`BaseSelector` whose `dispatch` calls handlers itself."""
