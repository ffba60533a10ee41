"""The fault proxy injects exactly the faults that it is given."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import pytest

from mailworker.model import InetAddress
from tests.support.backend import ScriptedServer, echo
from tests.support.fault_proxy import Ending, Fault, FaultProxy, Faults, cut, drip
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.ports import Ports

Spoil = Callable[..., FaultProxy]
Connect = Callable[[FaultProxy], Peer]
LINE = b"0123456789\n"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer(echo)
    yield server
    server.stop()


@pytest.fixture
def spoil(server: ScriptedServer) -> Iterator[Spoil]:
    """Makes fault proxies before the server."""
    made: list[FaultProxy] = []

    def make(faults: Callable[[int], Faults] | Faults | None = None) -> FaultProxy:
        made.append(FaultProxy(server.address, faults))
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients of a fault proxy."""
    clients: list[Peer] = []

    def make(proxy: FaultProxy) -> Peer:
        clients.append(Peer.connect((proxy.address.host, proxy.address.port)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def raw(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((proxy.address.host, proxy.address.port), timeout=PATIENCE)


def test_all_bytes_and_both_ends_pass_without_a_fault(spoil: Spoil, connect: Connect) -> None:
    client = connect(spoil())
    data = b"x" * 99_999 + b"\n"
    assert client.exchange(data, len(data)) == data
    client.end()
    assert client.rest() == b""


def test_a_delay_makes_bytes_late(spoil: Spoil, connect: Connect) -> None:
    client = connect(spoil(Faults(down=Fault(delay=0.2))))
    begin = time.monotonic()
    client.talk((LINE, LINE))
    assert time.monotonic() - begin >= 0.2


def test_dripped_bytes_come_one_by_one(spoil: Spoil) -> None:
    with raw(spoil(Faults(down=drip(0.1)))) as client:
        client.sendall(LINE)
        received = b"".join(client.recv(100) for _ in range(3))  # a slow reader finds two bytes at once
        assert received == LINE[: len(received)] != LINE


@pytest.mark.parametrize("after", [0, 1, 4, len(LINE)])
def test_a_cut_comes_behind_the_exact_byte(spoil: Spoil, connect: Connect, server: ScriptedServer, after: int) -> None:
    client = connect(spoil(Faults(up=cut(after))))
    client.send(LINE)
    assert client.rest() in (b"", LINE[:after])
    assert server.heard() == LINE[:after]


def test_a_reset_is_one_on_both_sides(spoil: Spoil, server: ScriptedServer) -> None:
    ended_by: list[int | None] = []

    def note(peer: Peer) -> None:
        try:
            while peer._socket.recv(100):
                pass
        except OSError as error:
            ended_by.append(error.errno)

    server.script = note
    with raw(spoil(Faults(up=cut(1, Ending.RESET)))) as client, pytest.raises(ConnectionResetError):
        client.sendall(LINE)
        client.recv(100)
    server.heard()
    assert ended_by == [errno.ECONNRESET]


def test_a_stalled_direction_takes_no_more(spoil: Spoil, connect: Connect) -> None:
    client = connect(spoil(Faults(up=cut(0, Ending.STALL))))
    assert client.send_what_fits(b"x" * 65536, 0.2) < 2**26
    assert client.is_silent()


def test_a_black_hole_swallows_all_and_the_end(spoil: Spoil, connect: Connect, server: ScriptedServer) -> None:
    client = connect(spoil(Faults(up=cut(3, Ending.BLACKHOLE))))
    client.send(LINE)
    client.end()
    assert client.is_silent()
    assert server.peer().received in (b"", LINE[:3])


def test_the_way_back_stays_open_beside_a_black_hole(connect: Connect, server: ScriptedServer, spoil: Spoil) -> None:
    server.script = lambda peer: peer.send(LINE)
    client = connect(spoil(Faults(up=cut(0, Ending.BLACKHOLE))))
    client.expect(LINE)


def test_each_connection_has_its_faults(spoil: Spoil, connect: Connect) -> None:
    proxy = spoil(lambda number: Faults(up=cut(0)) if number % 2 else Faults())
    assert [_is_good(connect(proxy)) for _ in range(4)] == [True, False, True, False]
    proxy.faults = lambda _number: Faults(up=cut(0))
    assert not _is_good(connect(proxy))
    assert proxy.connections == 5


def test_all_connections_can_be_reset_at_once(spoil: Spoil, connect: Connect) -> None:
    proxy = spoil()
    clients = [connect(proxy) for _ in range(5)]
    for client in clients:
        client.talk((LINE, LINE))
    proxy.reset()
    assert [client.rest() for client in clients] == [b""] * 5
    assert _is_good(connect(proxy))


def test_nobody_behind_it_is_a_reset() -> None:
    with closing(Ports()) as ports:
        proxy = FaultProxy(InetAddress("127.0.0.1", ports["nobody"]))
        with pytest.raises(ConnectionResetError), raw(proxy) as client:
            client.recv(100)
        proxy.stop()


def test_stopping_ends_all_connections(connect: Connect, server: ScriptedServer) -> None:
    endings = count()
    proxy = FaultProxy(server.address, lambda _number: Faults(up=cut(1, list(Ending)[next(endings) % len(Ending)])))
    clients = [connect(proxy) for _ in Ending]
    proxy.stop()
    assert [client.rest() for client in clients] == [b""] * len(clients)


def _is_good(client: Peer) -> bool:
    client.send(LINE)
    client.end()
    return client.rest() == LINE
