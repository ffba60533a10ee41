"""Stream sockets by their descriptors, which never block; native/core/sockets.c has the functions in C.

A function gives -errno, a negative number, where its call fails, so that what would block raises no exception.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EAFNOSUPPORT, EAGAIN, EBADF, EINPROGRESS, ENAMETOOLONG, EWOULDBLOCK
from typing import TYPE_CHECKING, Any, Final

from mailworker.model import Address, InetAddress, UnixAddress
from mailworker.native.core import accelerator

__all__ = ["WOULD_BLOCK", "accept", "dial", "hand_on", "keep_alive", "local_address", "no_delay", "peek"]

WOULD_BLOCK: Final = (-EAGAIN, -EWOULDBLOCK)
"""What a call gives that would have to wait."""

# Bytes of one look at most.
_PAGE_SIZE: Final = 4096

_NAMELESS: Final = UnixAddress("")


@contextmanager
def _socket(descriptor: int) -> Iterator[socket.socket]:
    """A socket of Python over a descriptor that stays the caller's; raises OSError.

    Its family is of no consequence for the calls here, and is not asked for, which spares three calls of the system.
    """
    if descriptor < 0:
        raise OSError(EBADF, os.strerror(EBADF))
    same = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, descriptor)
    try:
        yield same
    finally:
        same.detach()


def _address(name: Any) -> Address:
    return InetAddress(name[0], name[1]) if isinstance(name, tuple) else _NAMELESS


def accept(listening: int) -> tuple[int, Address] | int:
    """A connection's descriptor, and who made it; clients of a unix socket have no name."""
    try:
        with _socket(listening) as listener:
            connection, peer = listener.accept()
    except OSError as error:
        return _failure(error)
    connection.setblocking(False)
    return connection.detach(), _address(peer)


def hand_on(listening: int, accepted: Callable[[int, Address], None]) -> int:
    """As `accept`, for whoever takes both; gives 0 then."""
    connection = accept(listening)
    if isinstance(connection, int):
        return connection
    accepted(*connection)
    return 0


def local_address(descriptor: int) -> Address:
    """Where a connection was made to; a unix socket's path is not told, nor what nobody knows any more."""
    try:
        with _socket(descriptor) as connection:
            return _address(connection.getsockname())
    except OSError:
        return _NAMELESS


def dial(address: Address) -> int | tuple[str, int]:
    """A descriptor whose connection to `address` is made or under way; else the call that failed, and its errno."""
    family, name = _destination(address)
    if family is None:
        return "connect()", EAFNOSUPPORT
    try:
        connection = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return "socket()", error.errno or 0
    with connection:
        connection.setblocking(False)
        try:
            connection.connect(name)
        except OSError as error:
            if error.errno != EINPROGRESS:
                return "connect()", error.errno or ENAMETOOLONG  # Python measures the path itself, and has no number
        return connection.detach()


def _destination(address: Address) -> tuple[socket.AddressFamily | None, Any]:
    if isinstance(address, UnixAddress):
        return socket.AF_UNIX, address.path.encode("utf-8", "surrogateescape")
    if "\0" in address.host:
        return None, None
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, address.host)
            return family, (address.host, address.port)
    return None, None


def no_delay(descriptor: int) -> None:
    """Do not wait for acknowledgments of what was sent (TCP_NODELAY), where there is such a thing."""
    with suppress(OSError), _socket(descriptor) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def keep_alive(descriptor: int) -> None:
    """Let the kernel see whether a silent peer is still there (SO_KEEPALIVE)."""
    with suppress(OSError), _socket(descriptor) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def peek(descriptor: int, limit: int) -> bytes | int:
    """Up to `limit` bytes that stay to be read, b"" at the end of input."""
    try:
        with _socket(descriptor) as connection:
            return connection.recv(min(limit, _PAGE_SIZE), socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except OSError as error:
        return _failure(error)


def _failure(error: OSError) -> int:
    return -(error.errno or 0)


if accelerator is not None and not TYPE_CHECKING:
    accept, dial, local_address = accelerator.accept, accelerator.dial, accelerator.local_address
    hand_on, no_delay, peek = accelerator.hand_on, accelerator.no_delay, accelerator.peek
