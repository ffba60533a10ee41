"""The selector a worker waits on.

`selectors.BaseSelector` is the interface. On Linux our own `EpollSelector` has its work in C: a login registers three
descriptors and wakes some eight times. Elsewhere the standard library's best selector serves.
"""

from __future__ import annotations

import selectors
import sys

from mailworker.native.core.readiness import READ, WRITE

__all__ = ["READ", "WRITE", "new_selector"]


def new_selector() -> selectors.BaseSelector:
    """The best selector of this system; its keys' `data` is the handler to call."""
    if sys.platform != "linux":
        return selectors.DefaultSelector()
    from mailworker.native.core.epoll import EpollSelector  # noqa: PLC0415 # cannot be imported elsewhere

    return EpollSelector()
