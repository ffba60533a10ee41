"""Sockets for a new binary, whose descriptors are in environment variables."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from mailworker.process.system.inherited_state import number


@contextmanager
def announced(theirs: socket.socket, variable: str) -> Iterator[dict[str, str]]:
    """The variable with the descriptor of `theirs`, which is inheritable, and open here, within the context."""
    with theirs:
        theirs.set_inheritable(True)
        yield {variable: str(theirs.fileno())}


def inherited(descriptor: str) -> socket.socket | None:
    """The socket that an old master has announced, None if there is no valid one."""
    found = number(descriptor)
    if found is None:
        return None
    try:
        link = socket.socket(fileno=found)
        link.set_inheritable(False)
    except (OSError, OverflowError, ValueError):
        return None
    return link
