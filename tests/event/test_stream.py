from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack

import pytest

from mailworker.errors import ConnectionLost, Party, TimedOut
from mailworker.event.poller import READ, WRITE
from mailworker.event.stream import SocketStream
from mailworker.event.task import sleep
from tests.event.bench import Bench, Watcher, read_all, watch
from tests.support.patience import PATIENCE
from tests.tls.peers import reset, tcp_pair

Pair = tuple[socket.socket, socket.socket]
_BULK = os.urandom(1 << 20)


def _tcp_pair(resources: ExitStack) -> Pair:
    ours, theirs = map(resources.enter_context, tcp_pair())
    return ours, theirs


def test_reads_what_is_there_up_to_its_limit_and_then_the_end(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    pieces: list[bytes] = []

    async def reader() -> None:
        for limit in (2, 100, 100, 100):
            pieces.append(await stream.read(limit))

    pair[1].send(b"hello")
    pair[1].close()
    bench.run(reader())
    assert pieces == [b"he", b"llo", b"", b""]


def test_waits_for_what_is_not_there_yet(bench: Bench, pair: Pair) -> None:
    ours, theirs = bench.stream(pair[0]), bench.stream(pair[1])
    received: list[bytes] = []

    async def reader() -> None:
        received.append(await ours.read(100))
        await ours.write(b"pong")

    async def writer() -> None:
        await theirs.write(b"ping")
        received.append(await theirs.read(100))

    bench.run(reader(), writer())
    assert received == [b"ping", b"pong"]


def test_what_is_peeked_at_stays_to_be_read(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    pieces: list[bytes] = []

    async def reader() -> None:
        pieces.append(await stream.peek(3))
        pieces.append(await stream.peek(100))
        pieces.append(await stream.read(100))
        pair[1].close()
        pieces.append(await stream.peek(100))

    pair[1].send(b"hello")
    bench.run(reader())
    assert pieces == [b"hel", b"hello", b"hello", b""]


def test_a_slow_reader_gets_everything(bench: Bench, pair: Pair) -> None:
    ours, theirs = bench.stream(pair[0]), bench.stream(pair[1])
    received: list[bytes] = []

    async def writer() -> None:
        await ours.write(_BULK)
        ours.close()

    async def reader() -> None:
        received.append(await read_all(theirs, 50_000))

    bench.run(writer(), reader())
    assert received == [_BULK]
    assert ours.sent == theirs.received == len(_BULK)


def test_both_sides_may_talk_at_once(bench: Bench, resources: ExitStack) -> None:
    ours, theirs = (bench.stream(side) for side in _tcp_pair(resources))
    received: list[bytes] = []

    async def talk(stream: SocketStream) -> None:
        await stream.write(_BULK)
        with socket.socket(fileno=os.dup(stream.descriptor)) as same:
            same.shutdown(socket.SHUT_WR)

    async def listen(stream: SocketStream) -> None:
        received.append(await read_all(stream, 1 << 16))

    async def first() -> None:
        await talk(ours)
        await listen(ours)

    async def second() -> None:
        received.append(await theirs.read(1 << 16))
        while sum(map(len, received)) < len(_BULK):
            received.append(await theirs.read(1 << 16))
        assert b"".join(received) == _BULK
        received.clear()
        await talk(theirs)

    bench.run(first(), second())
    assert received == [_BULK]


def test_nothing_can_be_written_without_waiting(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])

    async def writer() -> None:
        await stream.write(b"")

    bench.run(writer())
    assert bench.poller.rounds == 0


@pytest.mark.parametrize("action", ["read", "write"])
def test_what_a_stream_has_done_is_not_waited_for_again(bench: Bench, pair: Pair, action: str) -> None:
    stream = bench.stream(pair[0])
    pair[1].send(b"hello")

    async def coroutine() -> None:
        doing = stream.read(100) if action == "read" else stream.write(b"hello")
        assert await doing == (b"hello" if action == "read" else None)
        with pytest.raises(RuntimeError):
            await doing

    bench.run(coroutine())


@pytest.mark.parametrize("action", ["read", "peek"])
def test_a_deadline_ends_the_wait_for_input(bench: Bench, pair: Pair, action: str) -> None:
    stream = bench.stream(pair[0], Party.BACKEND)
    errors: list[TimedOut] = []
    begin = bench.loop.now

    async def reader() -> None:
        stream.deadline = begin + 0.03
        try:
            await getattr(stream, action)(100)
        except TimedOut as error:
            errors.append(error)

    bench.run(reader())
    assert [error.party for error in errors] == [Party.BACKEND]
    assert bench.loop.now >= begin + 0.03


def test_a_deadline_ends_the_wait_for_a_peer_that_does_not_read(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    errors: list[TimedOut] = []

    async def writer() -> None:
        stream.deadline = bench.loop.now + 0.03
        try:
            await stream.write(_BULK)
        except TimedOut as error:
            errors.append(error)

    bench.run(writer())
    assert len(errors) == 1


def test_after_a_deadline_the_stream_can_still_be_used(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    received: list[bytes] = []

    async def reader() -> None:
        stream.deadline = bench.loop.now + 0.01
        with pytest.raises(TimedOut):
            await stream.read(100)
        await stream.write(b"goodbye")
        stream.deadline = bench.loop.now + 5
        pair[1].send(b"late")
        received.append(await stream.read(100))

    bench.run(reader())
    assert received == [b"late"]
    assert pair[1].recv(100) == b"goodbye"


def test_a_peer_that_trickles_does_not_move_the_deadline(bench: Bench, pair: Pair) -> None:
    ours, theirs = bench.stream(pair[0]), bench.stream(pair[1])
    deadline = bench.loop.now + 0.05

    async def reader() -> None:
        ours.deadline = deadline
        with pytest.raises(TimedOut):
            await read_all(ours)
        ours.close()

    async def trickle() -> None:
        with pytest.raises(ConnectionLost):
            while True:
                await theirs.write(b".")
                await sleep(0.001)

    bench.run(reader(), trickle())
    assert deadline <= bench.loop.now < deadline + PATIENCE


@pytest.mark.parametrize("action", ["read", "peek", "write"])
def test_a_reset_is_a_lost_connection(bench: Bench, resources: ExitStack, action: str) -> None:
    ours, theirs = _tcp_pair(resources)
    stream = bench.stream(ours)
    losses: list[ConnectionLost] = []

    async def use() -> None:
        reset(theirs)
        try:
            await (stream.write(b"x") if action == "write" else getattr(stream, action)(100))
        except ConnectionLost as error:
            losses.append(error)

    bench.run(use())
    [loss] = losses
    assert loss.party is Party.CLIENT
    assert loss.call == ("send()" if action == "write" else "recv()")
    assert loss.errno in (errno.ECONNRESET, errno.EPIPE)


def test_a_reset_ends_a_write_that_waits(bench: Bench, resources: ExitStack) -> None:
    ours, theirs = _tcp_pair(resources)
    stream = bench.stream(ours)
    losses: list[ConnectionLost] = []

    async def writer() -> None:
        try:
            await stream.write(_BULK * 16)
        except ConnectionLost as error:
            losses.append(error)

    async def resetter() -> None:
        reset(theirs)

    bench.run(writer(), resetter())
    assert [loss.call for loss in losses] == ["send()"]


@pytest.mark.parametrize("leaving", ["input", "the end", "a reset"])
def test_what_happens_while_nobody_waits_wakes_the_loop_once(bench: Bench, resources: ExitStack, leaving: str) -> None:
    ours, theirs = _tcp_pair(resources)
    stream = bench.stream(ours)
    outcome: list[bytes | ConnectionLost] = []

    async def session() -> None:
        await stream.read(100)  # from now on its descriptor is watched
        if leaving == "input":
            theirs.send(b"more")
        elif leaving == "the end":
            theirs.close()
        else:
            reset(theirs)
        await sleep(0.1)
        try:
            outcome.append(await stream.read(100))
        except ConnectionLost as error:
            outcome.append(error)

    theirs.send(b"some")
    bench.run(session())
    # One for each read, one for the event that nobody waits for, one or two for the pause.
    assert bench.poller.rounds <= 6
    [found] = outcome
    expected = {"input": b"more", "the end": b""}
    assert found == expected[leaving] if leaving in expected else isinstance(found, ConnectionLost)


def test_the_registration_stays_from_read_to_read(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])

    async def reader() -> None:
        for _ in range(3):
            pair[1].send(b"x")
            await stream.read(1)

    bench.run(reader())
    assert bench.poller.registrations == 1


def test_a_stream_may_wait_for_output_and_then_for_input(bench: Bench, pair: Pair) -> None:
    ours, theirs = bench.stream(pair[0]), bench.stream(pair[1])
    received: list[bytes] = []

    async def first() -> None:
        await ours.write(_BULK)
        received.append(await ours.read(100))

    async def second() -> None:
        left = len(_BULK)
        while left:
            left -= len(await theirs.read(left))
        await theirs.write(b"thanks")

    bench.run(first(), second())
    assert received == [b"thanks"]


def test_a_refused_registration_is_a_lost_connection(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    losses: list[ConnectionLost] = []
    received: list[bytes] = []

    async def session() -> None:
        bench.poller.refusal = OSError(errno.ENOSPC, "No space left on device")
        try:
            await stream.read(100)
        except ConnectionLost as error:
            losses.append(error)
        bench.poller.refusal = None
        await stream.write(b"goodbye")
        received.append(await stream.read(100))

    pair[1].send(b"x")
    bench.run(session())
    assert [loss.errno for loss in losses] == [errno.ENOSPC]
    assert received == [b"x"]


def test_wakes_for_its_own_descriptor_only(bench: Bench, pair: Pair, resources: ExitStack) -> None:
    ours, theirs = socket.socketpair()
    resources.enter_context(ours)
    resources.enter_context(theirs)
    stream, other = bench.stream(pair[0]), Watcher(lambda: theirs.recv(1))
    watch(bench.loop, theirs, other)
    received: list[bytes] = []

    async def reader() -> None:
        received.append(await stream.read(100))

    def send() -> None:
        pair[1].send(b"mine")

    ours.send(b"x")
    bench.loop.set_deadline(bench.alarm(send), bench.loop.now + 0.02)
    bench.run(reader())
    assert other.masks == [READ]
    assert received == [b"mine"]


def test_a_spurious_wake_up_is_harmless(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    received: list[bytes] = []

    async def reader() -> None:
        received.append(await stream.read(100))

    async def disturber() -> None:
        for mask in (READ, WRITE):
            stream.ready(mask)
        pair[1].send(b"x")

    bench.run(reader(), disturber())
    assert received == [b"x"]


def test_counts_bytes_but_for_those_that_are_only_looked_at(bench: Bench, pair: Pair) -> None:
    stream, peer = bench.stream(pair[0]), pair[1]

    async def talk() -> None:
        assert await stream.peek(100) == b"hello"
        assert await stream.read(2) == b"he"
        await stream.write(b"good day")
        assert await stream.read(100) == b"llo"

    peer.send(b"hello")
    bench.run(talk())
    assert (stream.received, stream.sent) == (5, 8)
    stream.close()
    assert (stream.received, stream.sent) == (5, 8)
