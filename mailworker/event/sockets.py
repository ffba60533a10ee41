"""Non-blocking stream sockets by their descriptors; native/core/sockets.c has the functions in C.

If its system call fails, a function returns -errno, a negative number; so a call that would block raises nothing.
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

__all__ = [
    "WOULD_BLOCK", "borrowed", "dial", "hand_on", "keep_alive", "local_address", "no_delay", "peek", "set_low_water",
]  # fmt: skip

WOULD_BLOCK: Final = (-EAGAIN, -EWOULDBLOCK)
"""The results of a call that would block."""

# Most bytes of one peek.
_PAGE_SIZE: Final = 4096

_NAMELESS: Final = UnixAddress("")

# socket.detach() takes memory, and a socket that is not detached closes the descriptor of others.
_detach: Final = socket.SocketType.detach


@contextmanager
def borrowed(descriptor: int, family: int = socket.AF_INET6) -> Iterator[socket.socket]:
    """A Python socket over a descriptor that stays the caller's; raises OSError.

    Its family matters only to connect(), so it is not asked for, which spares three system calls.
    """
    if descriptor < 0:
        raise OSError(EBADF, os.strerror(EBADF))
    same = socket.socket(family, socket.SOCK_STREAM, 0, descriptor)
    try:
        yield same
    finally:
        _detach(same)


def _address(name: Any) -> Address:
    return InetAddress(name[0].partition("%")[0], name[1]) if isinstance(name, tuple) else _NAMELESS


def hand_on(listening: int, accepted: Callable[[int, Address], object]) -> int:
    """Accept a connection and call `accepted` with its descriptor and its peer's address; returns 0 then.

    Clients of a unix socket have no name.
    """
    try:
        with borrowed(listening) as listener:
            connection, name = listener.accept()
    except OSError as error:
        return _failure(error)
    connection.setblocking(False)
    peer = _address(name)
    accepted(connection.detach(), peer)
    return 0


def local_address(descriptor: int) -> Address:
    """The local address of a connection; without a name for a unix socket, and if the system does not know it."""
    try:
        with borrowed(descriptor) as connection:
            return _address(connection.getsockname())
    except OSError:
        return _NAMELESS


def dial(address: Address, *, later: bool = False) -> int | tuple[str, int]:
    """A descriptor that is connected or connecting to `address`; else the call that failed, and its errno.

    With `later` it is a fresh socket for `reach`.
    """
    family, name = _destination(address)
    if family is None:
        return "connect()", EAFNOSUPPORT
    try:
        connection = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return "socket()", error.errno or 0
    with connection:
        connection.setblocking(False)
        refusal = 0 if later else _connect(connection, name)
        return ("connect()", refusal) if refusal else connection.detach()


def reach(descriptor: int, address: Address) -> int:
    """Connect a socket of `dial`; returns 0, or the errno if the system refuses at once."""
    family, name = _destination(address)
    assert family is not None  # `dial` has made a socket of it
    with borrowed(descriptor, family) as connection:
        return _connect(connection, name)


def _connect(connection: socket.socket, name: Any) -> int:
    try:
        connection.connect(name)
    except OSError as error:
        if error.errno != EINPROGRESS:
            return error.errno or ENAMETOOLONG  # Python checks a path's length itself, without errno
    return 0


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
    """Set TCP_NODELAY if the socket has that option: data is sent without waiting for acknowledgments."""
    _set(descriptor, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def keep_alive(descriptor: int) -> None:
    """Set SO_KEEPALIVE: the kernel checks whether a silent peer is still there."""
    _set(descriptor, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def set_low_water(descriptor: int, size: int) -> bool:
    """Set SO_RCVLOWAT: fewer than `size` bytes are not reported as input; False if the system refuses.

    The end of input is always reported. Unix sockets have the option, and Linux reports their input nevertheless.
    """
    return _set(descriptor, socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)


def _set(descriptor: int, level: int, option: int, value: int) -> bool:
    try:
        with borrowed(descriptor) as connection:
            connection.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def peek(descriptor: int, limit: int) -> bytes | int:
    """Up to `limit` bytes that stay to be read, b"" at the end of input."""
    try:
        with borrowed(descriptor) as connection:
            return connection.recv(min(limit, _PAGE_SIZE), socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except OSError as error:
        return _failure(error)


def took_message(descriptor: int) -> bool:
    """Take an ICMP message that Linux has queued for a connecting socket; False if there is none.

    Until somebody takes it, a poller reports an error, but no call fails, as TCP goes on connecting.
    """
    try:
        with borrowed(descriptor) as connection:
            connection.recv(1, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def _failure(error: OSError) -> int:
    return -(error.errno or 0)


if accelerator is not None and not TYPE_CHECKING:
    hand_on, local_address, peek = accelerator.hand_on, accelerator.local_address, accelerator.peek
