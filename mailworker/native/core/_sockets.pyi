"""Sockets by their descriptors; a function gives -errno, a negative number, where its call fails."""

from mailworker.model import Address

def accept(listening: int) -> tuple[int, Address] | int:
    """A connection's descriptor, and who made it; clients of a unix socket have no name."""

def local_address(descriptor: int) -> Address:
    """Where a connection was made to; a unix socket's path is not told, nor what nobody knows any more."""

def dial(address: Address) -> int | tuple[str, int]:
    """A descriptor whose connection to `address` is made or under way; else the call that failed, and its errno."""

def no_delay(descriptor: int) -> None:
    """Do not wait for acknowledgments of what was sent (TCP_NODELAY), where there is such a thing."""

def keep_alive(descriptor: int) -> None:
    """Let the kernel see whether a silent peer is still there (SO_KEEPALIVE)."""

def peek(descriptor: int, limit: int) -> bytes | int:
    """Up to `limit` bytes that stay to be read, b"" at the end of input."""
