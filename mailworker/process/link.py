"""The line between the master and one of its workers: log files go one way, that it serves the other."""

from __future__ import annotations

import socket
from contextlib import suppress

_SERVES = b"serves"


def open_link() -> tuple[socket.socket, socket.socket]:
    """The master's end and a worker's; nobody ever waits at either. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def tell_service(link: socket.socket) -> None:
    """Tell the master that this worker accepts connections."""
    with suppress(OSError):  # it has gone
        link.send(_SERVES)


def hear_of_service(link: socket.socket) -> bool:
    """Whether the worker at the other end has told that it serves since the last call."""
    try:
        return link.recv(len(_SERVES)) == _SERVES
    except OSError:
        return False
