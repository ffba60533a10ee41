"""What is left of a stream that was closed, detached or whose task was cancelled: nothing."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest

from mailworker.errors import TimedOut
from mailworker.event.poller import READ
from mailworker.event.stream import SocketStream
from mailworker.event.task import sleep, wait_for
from tests.event.bench import Bell, Bench

Pair = tuple[socket.socket, socket.socket]


def test_close_tells_once_and_frees_the_descriptor(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])

    async def session() -> None:
        await stream.read(1)
        stream.close()
        stream.close()

    pair[1].send(b"x")
    bench.run(session())
    assert bench.closed == 1
    with pytest.raises(OSError):
        os.fstat(stream.descriptor)
    assert pair[1].recv(1) == b""
    assert not bench.poller.watched


def test_handing_over_keeps_the_socket_open_and_watched(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    detached: list[int] = []

    async def session() -> None:
        await stream.read(1)
        descriptor, tls, events = stream.hand_over()
        assert tls is None
        assert events == READ
        detached.append(descriptor)
        stream.close()

    pair[1].send(b"x")
    bench.run(session())
    assert bench.closed == 0
    assert list(bench.poller.watched) == detached
    os.write(detached[0], b"still open")
    assert pair[1].recv(100) == b"still open"
    os.close(detached[0])


def test_a_stale_event_does_not_reach_who_was_closed_or_who_has_its_descriptor_now(
    bench: Bench, resources: ExitStack
) -> None:
    """Two descriptors are ready in one round; the handler of either closes both streams and opens another two."""
    loop = bench.loop
    pairs = [socket.socketpair() for _ in range(2)]
    streams = [bench.stream(ours) for ours, _ in pairs]
    new: list[SocketStream] = []
    woken: list[bytes] = []

    async def newcomer(stream: SocketStream) -> None:
        stream.deadline = loop.now + 0.05
        with pytest.raises(TimedOut):
            woken.append(await stream.read(100))

    async def session(stream: SocketStream) -> None:
        try:
            await stream.read(100)
            descriptors = {old.descriptor for old in streams}
            for old in streams:
                old.close()
            for end in socket.socketpair():
                assert end.fileno() in descriptors
                new.append(bench.stream(end))
                bench.start(newcomer(new[-1]))
        finally:
            stream.close()

    tasks = [bench.start(session(stream)) for stream in streams]
    for _, theirs in pairs:
        resources.enter_context(theirs)
        theirs.send(b"x")

    async def cancel_the_other() -> None:
        await sleep(0.02)
        for task in tasks:
            task.cancel()

    bench.run(cancel_the_other())
    assert len(new) == 2
    assert not woken


def test_a_closed_stream_wakes_its_task_at_the_deadline_only(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    errors: list[TimedOut] = []
    deadline = bench.loop.now + 0.03

    async def waits() -> None:
        stream.deadline = deadline
        try:
            await stream.read(100)
        except TimedOut as error:
            errors.append(error)

    async def closes() -> None:
        stream.close()

    bench.run(waits(), closes())
    assert len(errors) == 1
    assert bench.loop.now >= deadline


def test_a_cancelled_task_closes_its_stream(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    bell = Bell()

    async def session() -> None:
        try:
            await stream.read(100)
        finally:
            stream.close()

    async def canceller() -> None:
        await wait_for(bell)
        pair[1].send(b"x")
        task.cancel()
        await sleep(0.01)

    task = bench.start(session())
    bench.start(canceller())
    bell.ring()
    bench.run()
    assert bench.closed == 1
