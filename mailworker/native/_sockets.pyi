"""Sockets by their descriptors; every function gives -errno, a negative number, where its call fails."""

def accept(listening: int) -> tuple[int, tuple[str, int]] | int:
    """A connection's descriptor and its peer's host and port; clients of a unix socket have the host ""."""

def local_address(descriptor: int) -> tuple[str, int] | int:
    """Host and port where a connection was made to; the host of a unix socket is ""."""

def open(family: int) -> int:
    """A new descriptor."""

def connect(descriptor: int, host: str, port: int) -> int:
    """Begin to connect to a numeric host, with TCP_NODELAY; 0 where it is done or under way."""

def connect_local(descriptor: int, path: bytes) -> int:
    """Begin to connect to a unix socket; 0 where it is done or under way."""

def recv(descriptor: int, limit: int) -> bytes | int:
    """Up to `limit` bytes, b"" at the end of input."""

def peek(descriptor: int, limit: int) -> bytes | int:
    """As `recv`, but what is given stays to be read."""

def send(descriptor: int, data: bytes) -> int:
    """How many bytes the system took."""

def end_output(descriptor: int) -> int:
    """Send no more (FIN), while the peer may go on to send; 0 where that is done."""
