from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest

from mailworker.errors import ConnectionLost, OutOfConnections, Party
from mailworker.event.connections import Connections
from mailworker.event.stream import SocketStream
from mailworker.model import Address, InetAddress, UnixAddress
from tests.event.bench import Bench, no_more_descriptors
from tests.support.ports import Ports


def _address(listening: socket.socket) -> InetAddress:
    return InetAddress(*listening.getsockname()[:2])


@pytest.fixture
def nowhere() -> Iterator[InetAddress]:
    """Where nobody listens, nor will."""
    with closing(Ports()) as ports:
        yield InetAddress("127.0.0.1", ports["nobody"])


def _open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def _connections(
    bench: Bench, limit: int, unused: Callable[[], None] | None = None, first: int = 1, step: int = 1
) -> Connections:
    made: Connections = bench.implementation.connections.Connections(bench.loop, limit, unused, first, step)
    return made


async def _try(stream: SocketStream, action: str, losses: list[ConnectionLost]) -> None:
    try:
        await (stream.write(b"hello") if action == "write" else stream.read(100))
        await stream.read(100)
    except ConnectionLost as error:
        losses.append(error)
    finally:
        stream.close()


def test_numbers_never_meet_those_of_another_worker(bench: Bench) -> None:
    workers = [_connections(bench, 100, first=first, step=3) for first in (1, 2, 3)]
    numbers = [connections.take() for connections in workers for _ in range(5)]
    assert sorted(numbers) == list(range(1, 16))


def test_no_more_than_the_limit_are_in_use(bench: Bench) -> None:
    connections = _connections(bench, 2)
    assert [connections.take(), connections.take()] == [1, 2]
    with pytest.raises(OutOfConnections, match="2 worker_connections are not enough"):
        connections.take()
    assert (connections.in_use, connections.free) == (2, 0)
    connections.release()
    assert connections.free == 1
    assert connections.take() == 3


def test_the_last_release_is_told_each_time(bench: Bench) -> None:
    told: list[int] = []
    connections = _connections(bench, 2, lambda: told.append(connections.in_use))
    for last in (1, 2):
        connections.take()
        connections.take()
        connections.release()
        assert len(told) == last - 1
        connections.release()
        assert told == [0] * last


@pytest.mark.parametrize("family", ["IPv4", "unix"])
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_stream_can_be_used_while_it_connects(
    bench: Bench, resources: ExitStack, tmp_path: Path, family: str, first: str
) -> None:
    listening = socket.socket(socket.AF_UNIX if family == "unix" else socket.AF_INET)
    resources.enter_context(listening)
    path = str(tmp_path / "socket")
    listening.bind(path if family == "unix" else ("127.0.0.1", 0))
    listening.listen()
    address = UnixAddress(path) if family == "unix" else _address(listening)
    connections = _connections(bench, 10)
    received: list[bytes] = []

    async def client() -> None:
        stream = connections.connect(address, Party.BACKEND)
        stream.reach()
        assert connections.in_use == 1
        peer = bench.stream(listening.accept()[0])
        if first == "read":
            await peer.write(b"welcome")
            received.append(await stream.read(100))
        await stream.write(b"hello")
        received.append(await peer.read(100))
        stream.close()
        peer.close()

    bench.run(client())
    assert received == [b"welcome", b"hello"][first == "write" :]
    assert connections.in_use == 0


@pytest.mark.parametrize(("action", "call"), [("read", "recv()"), ("write", "send()")])
def test_a_refusal_is_met_at_the_first_use(bench: Bench, nowhere: InetAddress, action: str, call: str) -> None:
    connections = _connections(bench, 10)
    losses: list[ConnectionLost] = []
    stream = connections.connect(nowhere, Party.AUTH_SERVICE)
    bench.run(_try(stream, action, losses))
    assert [(loss.party, loss.call, loss.errno) for loss in losses] == [(Party.AUTH_SERVICE, call, errno.ECONNREFUSED)]
    assert connections.in_use == 0


@pytest.mark.parametrize(("timeout", "deadline"), [((), inf), ((7.5,), 7.5), ((3,), 3.0)])
def test_a_stream_has_so_many_seconds_from_the_beginning(
    bench: Bench, nowhere: InetAddress, timeout: tuple[float, ...], deadline: float
) -> None:
    with closing(_connections(bench, 1).connect(nowhere, Party.BACKEND, *timeout)) as stream:
        assert stream.deadline == bench.loop.now + deadline


@pytest.mark.parametrize(
    ("address", "number"),
    [
        pytest.param(UnixAddress("/nonexistent/socket"), errno.ENOENT, id="nothing there"),
        pytest.param(UnixAddress("/" + "long/" * 100), errno.ENAMETOOLONG, id="too long for the system"),
        pytest.param(InetAddress("localhost", 1), errno.EAFNOSUPPORT, id="a name"),
        pytest.param(InetAddress("127.0.0.1\0", 1), errno.EAFNOSUPPORT, id="more than an address"),
    ],
)
def test_where_nobody_can_be_is_a_lost_connection_at_once(bench: Bench, address: Address, number: int) -> None:
    connections = _connections(bench, 10)
    before = _open_descriptors()
    with pytest.raises(ConnectionLost) as caught:
        connections.connect(address, Party.BACKEND)
    assert (caught.value.call, caught.value.errno) == (f"connect() to {address}", number)
    assert connections.in_use == 0
    assert _open_descriptors() == before


def test_names_of_files_need_not_be_text(bench: Bench, resources: ExitStack, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff"
    listening = resources.enter_context(socket.socket(socket.AF_UNIX))
    listening.bind(path)
    listening.listen()
    address = UnixAddress(path.decode("utf-8", "surrogateescape"))
    resources.callback(_connections(bench, 10).connect(address, Party.BACKEND).close)


def test_a_full_unix_backlog_is_a_lost_connection_at_once(bench: Bench, resources: ExitStack, tmp_path: Path) -> None:
    listening = resources.enter_context(socket.socket(socket.AF_UNIX))
    listening.bind(str(tmp_path / "socket"))
    listening.listen(0)
    connections = _connections(bench, 10)
    address = UnixAddress(str(tmp_path / "socket"))
    with pytest.raises(ConnectionLost) as caught:
        for _ in range(10):
            resources.callback(connections.connect(address, Party.BACKEND).close)
    assert caught.value.errno in (errno.EAGAIN, errno.ECONNREFUSED)


def test_want_of_descriptors_is_a_lost_connection(bench: Bench) -> None:
    connections = _connections(bench, 10)
    with no_more_descriptors(), pytest.raises(ConnectionLost) as caught:
        connections.connect(InetAddress("127.0.0.1", 1), Party.BACKEND)
    assert (caught.value.call, caught.value.errno) == ("socket()", errno.EMFILE)
    assert connections.in_use == 0


def test_beyond_the_limit_nothing_is_opened(bench: Bench, nowhere: InetAddress) -> None:
    before = _open_descriptors()
    with pytest.raises(OutOfConnections):
        _connections(bench, 0).connect(nowhere, Party.BACKEND)
    assert _open_descriptors() == before


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (25, AttributeError),
        (InetAddress(cast(Any, 1), 1), TypeError),
        (UnixAddress(cast(Any, b"/path")), (AttributeError, TypeError)),
        (InetAddress("\ud800", 1), UnicodeEncodeError),
    ],
)
def test_a_bug_on_the_way_leaves_the_count_as_it_was(
    bench: Bench, address: Any, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    connections = _connections(bench, 10)
    with pytest.raises(error):
        connections.connect(address, Party.BACKEND)
    assert connections.in_use == 0


def test_a_stream_that_is_closed_is_released_once(bench: Bench, pair: tuple[socket.socket, socket.socket]) -> None:
    told: list[int] = []
    connections = _connections(bench, 10, lambda: told.append(connections.in_use))
    connections.take()
    stream = connections.stream(pair[0].detach(), Party.CLIENT)
    stream.close()
    stream.close()
    assert told == [0]
