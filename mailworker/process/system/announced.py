"""Sockets that a master hands to its new binary, which environment variables name."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from mailworker.process.system.inherited_state import number


@contextmanager
def announced(theirs: socket.socket, variable: str) -> Iterator[dict[str, str]]:
    """The variable that names `theirs`, which is inheritable and stays open here until the end."""
    with theirs:
        theirs.set_inheritable(True)
        yield {variable: str(theirs.fileno())}


def inherited(descriptor: str) -> socket.socket | None:
    """The socket that an old master has announced, None where there is no valid one."""
    found = number(descriptor)
    if found is None:
        return None
    try:
        link = socket.socket(fileno=found)
        link.set_inheritable(False)
    except (OSError, OverflowError, ValueError):
        return None
    return link
