"""An exchange goes on by itself while replies come whole and as usual, and leaves all else to its caller."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, nullcontext, suppress

import pytest

from mailworker.errors import ConnectionLost, MailworkerError, TimedOut
from mailworker.event.poller import READ, WRITE
from mailworker.event.stream import SocketStream
from tests.event.bench import Bench

Pair = tuple[socket.socket, socket.socket]
Step = tuple[bytes | None, tuple[bytes | AbstractSet[bytes], bytes | None]]


class Interrupted(MailworkerError):
    pass


GREETED: Step = (None, (b"220 ", b"220-"))
HELLO: Step = (b"EHLO a\r\n", (b"250 ", b"250-"))
USER: Step = (b"USER a\r\n", (b"+OK", None))
LAST: Step = (b"QUIT\r\n", (b"221 ", None))


def _exchange(
    bench: Bench, pair: Pair, steps: Sequence[Step], replies: Sequence[bytes]
) -> tuple[tuple[int, bytes], list[bytes]]:
    """What the exchange gives where the peer says one reply after the other, and what the peer was told before each."""
    stream, peer = bench.stream(pair[0]), bench.stream(pair[1])
    heard: list[bytes] = []
    results: list[tuple[int, bytes]] = []

    async def ask() -> None:
        results.append(await stream.exchange(4096, tuple(steps)))
        stream.close()

    async def answer() -> None:
        for number, reply in enumerate(replies):
            if steps[number][0] is not None:
                heard.append(await peer.read(4096))
            await peer.write(reply)

    bench.run(ask(), answer())
    assert not bench.bugs
    return results[0], heard


def test_each_command_follows_the_reply_to_the_one_before(bench: Bench, pair: Pair) -> None:
    replies = [b"220 ready\r\n", b"250-a\r\n250-b\r\n250 c\r\n", b"+OK\r\n", b"221 bye\r\n"]
    result, heard = _exchange(bench, pair, [GREETED, HELLO, USER, LAST], replies)
    assert result == (4, b"221 bye\r\n")
    assert heard == [b"EHLO a\r\n", b"USER a\r\n", b"QUIT\r\n"]


@pytest.mark.parametrize(
    ("last", "usual"),
    [(b"221 bye\r\n", 2), (b"221 ", 1), (b"221 a\r\n221 b\r\n", 1), (b"500 no", 1), (b"\0", 1), (b"a\r\nb\r\n", 1)],
)
def test_the_last_reply_is_given_and_counted_where_it_is_usual(
    bench: Bench, pair: Pair, last: bytes, usual: int
) -> None:
    result, _ = _exchange(bench, pair, [GREETED, LAST], [b"220 ready\r\n", last])
    assert result == (usual, last)


@pytest.mark.parametrize("known", [set[bytes], frozenset[bytes]])
@pytest.mark.parametrize(
    ("last", "usual"),
    [
        *((reply, 2) for reply in (b"250-a\r\n250 b\r\n", b"500 no\r\n", b"250 {9}\r\n")),
        *((reply, 1) for reply in (b"250-A\r\n250 b\r\n", b"250 b\r\n", b"250-a\r\n", b"250-a\r\n250 b\r\n250 c\r\n")),
        *((reply, 1) for reply in (b"250-a\r\n250 b\r", b"\0", b"500 no\r\n\r\n")),
    ],
)
def test_replies_that_are_known_are_usual_byte_for_byte(
    bench: Bench, pair: Pair, known: Callable[[Sequence[bytes]], AbstractSet[bytes]], last: bytes, usual: int
) -> None:
    hello: Step = b"EHLO a\r\n", (known([b"250-a\r\n250 b\r\n", b"500 no\r\n", b"250 {9}\r\n"]), None)
    result, _ = _exchange(bench, pair, [GREETED, hello], [b"220 ready\r\n", last])
    assert result == (usual, last)


@pytest.mark.parametrize(
    "reply",
    [
        b"500 no\r\n",
        b"220 in two",
        b"220 no CR\n",
        b"220 one\r\n220 two\r\n",
        b"220-one\r\n",
        b"220-one\n220 two\r\n",
        b"500-one\r\n220 two\r\n",
        b"220 ready\r\nmore",
        b"220\r\n",
        b"\r\n",
        b"\n",
        b"\r\n220 ready\r\n",
        b"\x00\xff\r\n",
        b"220 {7}\r\n",
        b"220-{7}\r\n220 two\r\n",
    ],
)
def test_an_unusual_reply_is_the_callers(bench: Bench, pair: Pair, reply: bytes) -> None:
    result, heard = _exchange(bench, pair, [GREETED, LAST], [reply])
    assert result == (0, reply)
    assert not heard


@pytest.mark.parametrize("reply", [b"-ERR no\r\n", b"+OK one\r\n+OK two\r\n", b"+OK-\r\n+OK more"])
def test_lines_before_the_last_one_are_the_callers_where_none_are_wanted(
    bench: Bench, pair: Pair, reply: bytes
) -> None:
    result, _ = _exchange(bench, pair, [USER, LAST], [reply])
    assert result == (0, reply)


def test_the_end_is_a_reply_of_no_bytes(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    results: list[tuple[int, bytes]] = []

    async def ask() -> None:
        results.append(await stream.exchange(4096, (GREETED, LAST)))

    pair[1].send(b"220 ready\r\n")
    pair[1].shutdown(socket.SHUT_WR)
    bench.run(ask())
    assert results == [(1, b"")]


def test_no_more_is_read_than_the_limit(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    results: list[tuple[int, bytes]] = []

    async def ask() -> None:
        results.append(await stream.exchange(6, (GREETED, LAST)))

    pair[1].send(b"220 ready\r\n")
    bench.run(ask())
    assert results == [(0, b"220 re")]


def test_a_command_that_does_not_fit_the_socket_is_sent_bit_by_bit(bench: Bench, pair: Pair) -> None:
    stream, peer = bench.stream(pair[0]), bench.stream(pair[1])
    command = os.urandom(1 << 20)
    heard = bytearray()
    results: list[tuple[int, bytes]] = []

    async def ask() -> None:
        results.append(await stream.exchange(4096, ((command, (b"+OK", None)), LAST)))

    async def answer() -> None:
        while len(heard) < len(command):
            heard.extend(await peer.read(4096))
        await peer.write(b"-ERR too long\r\n")

    bench.run(ask(), answer())
    assert results == [(0, b"-ERR too long\r\n")]
    assert heard == command


@pytest.mark.parametrize(("said", "step"), [(b"", 0), (b"220 ready\r\n", 1)])
def test_a_deadline_ends_the_step_at_hand(bench: Bench, pair: Pair, said: bytes, step: int) -> None:
    stream = bench.stream(pair[0])
    pair[1].send(said)

    async def ask() -> None:
        stream.deadline = bench.loop.now + 0.03
        with pytest.raises(TimedOut):
            await stream.exchange(4096, (GREETED, LAST))

    bench.run(ask())
    assert stream.step == step


def test_a_peer_that_is_gone_is_a_lost_connection(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    losses: list[ConnectionLost] = []

    async def ask() -> None:
        pair[1].close()
        try:
            await stream.exchange(4096, (USER, LAST))
        except ConnectionLost as error:
            losses.append(error)

    bench.run(ask())
    assert [(loss.call, loss.errno) for loss in losses] == [("send()", errno.EPIPE)]


@pytest.mark.parametrize(
    "steps",
    [
        (),
        [GREETED],
        ((b"x",),),
        (("x", (b"", None)),),
        ((b"x", (b"",)),),
        ((b"x", (None, None)),),
        ((b"x", (b"", "x")),),
        ((b"x", [b"", None]),),
    ],
)
def test_what_are_no_steps_is_refused_by_c(bench: Bench, pair: Pair, steps: object) -> None:
    if bench.implementation.name != "C":
        return  # it is a bug that Python finds by itself
    stream = bench.stream(pair[0])
    with pytest.raises((TypeError, ValueError)):
        iter(stream.exchange(4096, steps))  # type: ignore[arg-type, call-overload]


def test_a_profiler_sees_the_same(bench: Bench, pair: Pair) -> None:
    """Profilers make the interpreter go by the iterator's protocol."""
    stream: SocketStream = bench.stream(pair[0])
    pair[1].send(b"220 ready\r\n")
    steps = iter(stream.exchange(4096, (GREETED,)).__await__())
    assert next(steps) is stream
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == (1, b"220 ready\r\n")


def test_commands_of_a_round_are_sent_after_all_that_was_ready(bench: Bench, resources: ExitStack) -> None:
    """So a peer that is woken by the first finds the others, too."""
    pairs = [[resources.enter_context(each) for each in socket.socketpair()] for _ in range(3)]
    streams = [bench.stream(ours) for ours, _ in pairs]
    unsent: list[bool] = []

    async def ask(stream: SocketStream) -> None:
        await stream.read(100)
        await stream.exchange(4096, (LAST,))

    async def look() -> None:
        await streams[-1].read(100)
        for _, peer in pairs[:-1]:
            peer.setblocking(False)
            try:
                unsent.append(not peer.recv(100))
            except BlockingIOError:
                unsent.append(True)
            peer.setblocking(True)
        await streams[-1].exchange(4096, (LAST,))

    for _, peer in pairs:
        peer.send(b"go")
    tasks = [bench.start(ask(stream)) for stream in streams[:-1]]
    tasks.append(bench.start(look()))
    for stream in streams:
        stream.ready(READ)
    assert unsent == [True, True]
    bench.loop.serve_late()
    for _, peer in pairs:
        assert peer.recv(100) == b"QUIT\r\n"
        peer.send(b"221 bye\r\n")
    bench.run()


def test_a_command_that_finds_no_room_is_not_put_off_again(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    assert stream.heard is None

    async def ask() -> None:
        await stream.exchange(4096, ((bytes(1 << 20), (b"+OK", None)),))

    task = bench.start(ask())
    bench.loop.serve_late()
    pair[1].recv(1 << 20)
    sent = stream.sent
    stream.ready(WRITE)
    assert stream.sent > sent
    assert not bench.loop.late
    task.cancel()


@pytest.mark.parametrize("end", ["closed", "interrupted"])
def test_what_was_put_off_is_not_sent_by_a_session_that_has_ended(bench: Bench, pair: Pair, end: str) -> None:
    stream = bench.stream(pair[0])

    async def ask() -> None:
        with suppress(Interrupted):
            await stream.exchange(4096, (LAST,))

    task = bench.start(ask())
    if end == "closed":
        stream.close()
    task.interrupt(Interrupted())
    bench.loop.serve_late()
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError) if end == "interrupted" else nullcontext():
        assert pair[1].recv(100) == b""
