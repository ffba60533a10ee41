from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from mailworker.model import Address, InetAddress, UnixAddress
from mailworker.native.core import accelerator
from tests.support.implementations import Implementation

_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@contextmanager
def _listening(address: Address) -> Iterator[socket.socket]:
    """A listening socket that never blocks, at `address` or, for port 0, at a port of the system's choice."""
    family = socket.AF_UNIX
    name: str | tuple[str, int]
    if isinstance(address, InetAddress):
        family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
        name = address.host, address.port
    else:
        name = address.path
    with socket.socket(family) as listening:
        listening.setblocking(False)
        listening.bind(name)
        listening.listen()
        yield listening


def _accepted(sockets: ModuleType, listening: socket.socket) -> tuple[int, Address]:
    """The descriptor of a connection that waits, and its peer's address."""
    handed = list[tuple[int, Address]]()
    assert sockets.hand_on(listening.fileno(), lambda *both: handed.append(both)) == 0
    (both,) = handed
    return both


@pytest.fixture
def sockets(implementation: Implementation) -> ModuleType:
    return implementation.sockets


def test_the_end_of_a_socket(sockets: ModuleType) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert sockets.peek(ours.fileno(), 100) == b""
    assert sockets.peek(ours.fileno(), 100) == -errno.EBADF


def test_a_read_is_cut_at_the_page(sockets: ModuleType) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"abc")
        assert sockets.peek(ours.fileno(), 1 << 30) == b"abc"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.10.99", "::1"])
def test_both_ends_of_a_connection_know_each_other(sockets: ModuleType, host: str) -> None:
    with _listening(InetAddress(host, 0)) as listening:
        address = InetAddress(host, listening.getsockname()[1])
        assert sockets.hand_on(listening.fileno(), pytest.fail) == -errno.EAGAIN
        theirs = sockets.dial(address)
        assert isinstance(theirs, int)
        ours, peer = _accepted(sockets, listening)
        assert peer == sockets.local_address(theirs)
        assert sockets.local_address(ours) == address
        for descriptor in (ours, theirs):
            assert not os.get_blocking(descriptor)
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)


def test_what_takes_a_connection_may_raise(sockets: ModuleType) -> None:
    with _listening(InetAddress("127.0.0.1", 0)) as listening:
        theirs = sockets.dial(InetAddress(*listening.getsockname()))

        def refuse(ours: int, _peer: Address) -> None:
            os.close(ours)
            raise LookupError

        with pytest.raises(LookupError):
            sockets.hand_on(listening.fileno(), refuse)
        os.close(theirs)


def test_unix_sockets_have_no_names(sockets: ModuleType, tmp_path: Path) -> None:
    address = UnixAddress(str(tmp_path / "socket"))
    with _listening(address) as listening:
        theirs = sockets.dial(address)
        assert isinstance(theirs, int)
        ours, peer = _accepted(sockets, listening)
        assert peer == sockets.local_address(ours) == UnixAddress("")
        os.close(ours)
        os.close(theirs)


def test_addresses_are_like_any_others(sockets: ModuleType) -> None:
    with _listening(InetAddress("127.0.0.1", 0)) as listening:
        address = sockets.local_address(listening.fileno())
    assert isinstance(address, InetAddress)
    assert hash(address) == hash(InetAddress("127.0.0.1", address.port))
    assert str(address) == f"127.0.0.1:{address.port}"
    with pytest.raises(AttributeError):
        address.port = 1  # type: ignore[misc]


def test_no_delay_sends_without_waiting_for_acknowledgments(sockets: ModuleType) -> None:
    with socket.socket() as connection:
        assert not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sockets.no_delay(connection.fileno())
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sockets.no_delay(ours.fileno())


def test_a_low_water_mark_is_set_where_there_is_a_socket(sockets: ModuleType) -> None:
    with socket.socket() as connection:
        assert sockets.set_low_water(connection.fileno(), 2048)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 2048
    assert not sockets.set_low_water(-1, 2048)


def test_what_is_closed_has_no_address(sockets: ModuleType) -> None:
    assert sockets.local_address(-1) == UnixAddress("")


def test_what_is_peeked_at_stays(sockets: ModuleType) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"abc")
        assert sockets.peek(ours.fileno(), 2) == b"ab"
        assert sockets.peek(ours.fileno(), 100) == ours.recv(100) == b"abc"
        assert sockets.peek(ours.fileno(), 100) == -errno.EAGAIN


def test_no_fewer_bytes_than_none_are_peeked_at(sockets: ModuleType) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"abc")
        with pytest.raises(ValueError, match="negative"):
            sockets.peek(ours.fileno(), -1)


if accelerator is not None:  # Python needs no such test of its own functions

    def test_wrong_arguments_are_errors() -> None:
        assert accelerator is not None
        with pytest.raises(TypeError):
            accelerator.peek(1)
        with pytest.raises(TypeError):
            accelerator.peek("1", 1)
        with pytest.raises(OverflowError):
            accelerator.peek(1 << 70, 1)
        with pytest.raises(OverflowError):
            accelerator.local_address(1 << 32)
