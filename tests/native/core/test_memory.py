"""Allocations that fail cost nobody a descriptor, nor a place among the connections."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from mailworker.errors import Party
from mailworker.event import sockets
from mailworker.event.beginning import Beginning
from mailworker.event.connections import Connections
from mailworker.event.lobby import Guest, Lobby
from mailworker.event.loop import Loop
from mailworker.event.pair import Pair, Terms
from mailworker.event.relay import Pump
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task
from mailworker.model import Address, InetAddress
from mailworker.native.core import accelerator

if accelerator is None:
    pytest.skip("there is no C", allow_module_level=True)

memory = pytest.importorskip("_testcapi")

MOST = 40  # allocations of what is tried


@pytest.fixture
def connections() -> Iterator[Connections]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)  # no other thread may get what is to fail
    gc.disable()  # nor the collector, which runs finalizers
    loop = Loop(_no_bug)
    yield Connections(loop, 10)
    memory.remove_mem_hooks()  # of a test that has failed, too
    gc.enable()
    loop.close()
    sys.setswitchinterval(interval)


def _no_bug(bug: Exception) -> None:
    raise bug


def _no_guest(_guest: Guest, _heard: object) -> None:
    raise AssertionError("nobody has said anything")


def _no_loss(_guest: Guest, _error: object) -> None:
    raise AssertionError("no connection has failed")


def _not_full(_descriptor: int, _peer: Address) -> None:
    raise AssertionError("there is room")


def _descriptors() -> int:
    return len([*Path("/dev/fd").iterdir()])


def test_a_client_that_nobody_can_receive_is_closed(connections: Connections) -> None:
    step = (b"hello\r\n", (b"\n", None))
    lobby = Lobby(connections, Party.CLIENT, step, 100, 60.0, _no_guest, None, _not_full)
    accepted, failed = lobby.accepted, 0
    with socket.create_server(("127.0.0.1", 0)) as listening:
        before = _descriptors()
        for number in range(MOST):
            with socket.create_connection(listening.getsockname()):
                memory.set_nomemory(number, number + 1)
                try:
                    sockets.hand_on(listening.fileno(), accepted)
                except MemoryError:
                    failed += 1
                finally:
                    memory.remove_mem_hooks()
            for guest in lobby.guests.copy():
                guest.stream.close()
            lobby.guests.clear()
            assert (connections.in_use, _descriptors()) == (0, before), number
    assert 0 < failed < MOST


def test_a_connection_that_cannot_be_made_is_closed(connections: Connections) -> None:
    before, failed, address = _descriptors(), 0, InetAddress("127.0.0.1", 1)
    for number in range(MOST):
        memory.set_nomemory(number, number + 1)
        try:
            stream = connections.connect(address, Party.BACKEND)
        except MemoryError:
            failed += 1
        else:
            memory.remove_mem_hooks()
            stream.close()
        finally:
            memory.remove_mem_hooks()
        assert (connections.in_use, _descriptors()) == (0, before), number
    assert 0 < failed < MOST


def test_a_wait_whose_deadline_finds_no_memory_ends(connections: Connections) -> None:
    failed = list[int]()

    async def read(stream: SocketStream, number: int) -> None:
        try:
            await stream.read(1)
        except MemoryError:
            failed.append(number)
        memory.remove_mem_hooks()

    for number in range(20):
        loop = Loop(_no_bug)  # so that the deadline is its first
        stream = Connections(loop, 1).connect(InetAddress("127.0.0.1", 1), Party.BACKEND, 60.0)
        task = Task(loop, read(stream, number))
        memory.set_nomemory(number, number + 1)
        task.resume()
        memory.remove_mem_hooks()
        assert (stream.task is None) is (number in failed)
        assert (task.deadline == inf) is (number in failed)
        task.cancel()
        stream.close()
        loop.close()
    assert 2 <= len(failed) < 20


class _Session:
    """`made` counts how often it was made, `ended` how often it has begun or was dropped."""

    __slots__ = ("ended", "made")

    def __init__(self) -> None:
        self.ended = self.made = 0

    def of(self, _number: int, _stream: SocketStream, _peer: Address, _accepted: float) -> _Session:
        self.made += 1
        return self

    def begin_heard(self, _words: bytes) -> None:
        self.ended += 1

    async def fail(self, _error: Exception) -> None:
        self.ended += 1

    def drop(self) -> None:
        self.ended += 1


def test_a_session_without_memory_for_its_task_is_dropped_once(connections: Connections) -> None:
    session, failed = _Session(), 0
    beginning = Beginning(connections.loop, session, _no_loss, False)  # type: ignore[arg-type]
    step = (b"hello\r\n", (b"\n", None))
    lobby = Lobby(connections, Party.CLIENT, step, 100, 60.0, _no_guest, None, _not_full)
    for number in range(20):
        ours, theirs = socket.socketpair()
        lobby.accepted(ours.detach(), InetAddress("192.0.2.1", 1))
        (guest,) = lobby.guests
        lobby.guests.clear()
        memory.set_nomemory(number, number + 1)
        try:
            beginning(guest, b"words")
        except MemoryError:
            failed += 1
        finally:
            memory.remove_mem_hooks()
        assert session.ended == session.made, number
        guest.stream.close()
        theirs.close()
    assert 2 <= failed < 20
    assert session.made > 20 - failed


def test_a_pair_that_cannot_be_made_leaves_both_streams_to_their_owner(connections: Connections) -> None:
    pump = Pump(connections.loop, 4096)
    terms = Terms(connections, pump, pump, 60.0, 60.0)
    kind: Any = Pair  # abstract, but it is closed at once
    before, failed = _descriptors(), 0
    for number in range(5):
        streams = [connections.connect(InetAddress("127.0.0.1", 1), Party.BACKEND) for _ in range(2)]
        memory.set_nomemory(number, number + 1)
        try:
            kind(terms, streams[0], b"", streams[1], b"").close()
        except MemoryError:
            failed += 1
        finally:
            memory.remove_mem_hooks()
        for stream in streams:
            stream.close()
        assert (connections.in_use, _descriptors()) == (0, before), number
    assert failed == 3
    pump.close()


def test_a_connection_that_its_owner_has_lost_is_closed(connections: Connections) -> None:
    before = _descriptors()
    stream = connections.connect(InetAddress("127.0.0.1", 1), Party.BACKEND)
    assert (connections.in_use, _descriptors()) == (1, before + 1)
    del stream
    assert (connections.in_use, _descriptors()) == (0, before)


def test_a_lost_connection_that_is_collected_together_with_what_counts_it_is_closed(connections: Connections) -> None:
    before = _descriptors()
    again = Connections(connections.loop, 1)  # older than the stream, so that the collector clears it first
    lost: list[object] = [again, again.connect(InetAddress("127.0.0.1", 1), Party.BACKEND)]
    lost.append(lost)
    del again, lost
    gc.collect()
    assert _descriptors() == before
