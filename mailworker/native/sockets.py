"""Stream sockets by their descriptors, which never block. Where a call fails it gives -errno, a negative number."""

from __future__ import annotations

import socket

from mailworker.config.settings import Address, InetAddress, UnixAddress
from mailworker.native import _sockets
from mailworker.native._sockets import end_output, peek, recv, send

__all__ = ["accept", "connect", "end_output", "local_address", "open_socket", "peek", "recv", "send"]


def accept(listening: int) -> tuple[int, Address] | int:
    """A connection's descriptor, and who made it; clients of a unix socket have no name."""
    accepted = _sockets.accept(listening)
    if isinstance(accepted, int):
        return accepted
    descriptor, peer = accepted
    return descriptor, _address(peer)


def local_address(descriptor: int) -> Address:
    """Where a connection was made to; a unix socket's path is not told, nor what nobody knows any more."""
    local = _sockets.local_address(descriptor)
    return UnixAddress("") if isinstance(local, int) else _address(local)


def open_socket(address: Address) -> int:
    """A new descriptor, to connect to `address` with."""
    if isinstance(address, UnixAddress):
        return _sockets.open(socket.AF_UNIX)
    return _sockets.open(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET)


def connect(descriptor: int, address: Address) -> int:
    """Begin to connect, with TCP_NODELAY where there is such a thing; 0 where it is done or under way."""
    if isinstance(address, UnixAddress):
        return _sockets.connect_local(descriptor, address.path.encode("utf-8", "surrogateescape"))
    return _sockets.connect(descriptor, address.host, address.port)


def _address(name: tuple[str, int]) -> Address:
    host, port = name
    return InetAddress(host, port) if host else UnixAddress("")
