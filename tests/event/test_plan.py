"""Sessions as chains of plans and coroutines: what is said to whom, in whatever pieces the answers come."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from math import inf

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailworker.errors import ConnectionLost, Party, TimedOut
from mailworker.event.plan import UNKNOWN, Link
from mailworker.event.stream import SocketStream
from tests.event.bench import Bell, Bench
from tests.event.plays import (
    COMMANDS,
    LINES,
    OK,
    REPLIES,
    Chain,
    Script,
    Turn,
    carry_out,
    check_both_engines,
    stream_plan,
)

Made = Callable[[SocketStream], Link]


Pair = tuple[socket.socket, socket.socket]


def test_steps_are_taken_as_long_as_replies_are_usual(bench: Bench, pair: Pair) -> None:
    stream, peer = bench.stream(pair[0]), bench.stream(pair[1])
    chain = Chain(lambda: chain.plan(stream, (None, OK), (b"one\r\n", LINES), (b"two\r\n", OK)))
    heard: list[bytes] = []

    async def answer() -> None:
        await peer.write(b"OK hello\r\n")
        heard.append(await peer.read(100))
        await peer.write(b"OK-1\r\nOK 2\r\n")
        heard.append(await peer.read(100))
        await peer.write(b"OK bye\r\n")

    bench.run(carry_out(bench, chain), answer())
    assert chain.told == [(3, b"OK bye\r\n")]
    assert heard == [b"one\r\n", b"two\r\n"]


@pytest.mark.parametrize("reply", [b"NO\r\n", b"OK half", b"OK\r\nOK\r\n", b"\0"])
def test_an_unusual_reply_is_told_with_the_steps_before_it(bench: Bench, pair: Pair, reply: bytes) -> None:
    stream, peer = bench.stream(pair[0]), pair[1]
    chain = Chain(lambda: chain.plan(stream, (None, OK), (b"two\r\n", OK)))

    async def answer() -> None:
        peer.send(b"OK\r\n")
        await bench.implementation.task.wait_for(Turn())
        peer.send(reply)

    bench.run(carry_out(bench, chain), answer())
    assert chain.told == [(1, reply)]
    assert peer.recv(100) == b"two\r\n"


def test_plans_and_coroutines_follow_each_other(bench: Bench, pair: Pair) -> None:
    stream, peer = bench.stream(pair[0]), bench.stream(pair[1])

    async def between() -> Link:
        await stream.write(b"two")
        chain.told.append(await stream.read(10))
        return chain.plan(stream, (b"three", UNKNOWN), follow=last)

    async def last() -> Link:
        chain.told.append("last")
        return None

    async def echo() -> None:
        for _ in range(3):
            await peer.write(await peer.read(10))

    chain = Chain(lambda: chain.plan(stream, (b"one", UNKNOWN), follow=between))
    bench.run(carry_out(bench, chain), echo())
    assert chain.told == [(0, b"one"), b"two", (0, b"three"), "last"]


def test_the_end_of_a_peer_is_an_empty_reply(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    chain = Chain(lambda: chain.plan(stream, (b"one\r\n", OK)))
    pair[1].shutdown(socket.SHUT_WR)
    bench.run(carry_out(bench, chain))
    assert chain.told == [(0, b"")]


def test_a_peer_that_is_lost_is_told_to_the_plan(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    chain = Chain(lambda: chain.plan(stream, (b"one\r\n", OK)))
    pair[1].close()
    bench.run(carry_out(bench, chain))
    (error,) = chain.told
    assert isinstance(error, ConnectionLost)
    assert error.call == "send()"


def test_a_peer_that_lets_its_time_pass_is_told_to_the_plan(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    chain = Chain(lambda: chain.plan(stream, (b"one\r\n", OK)))
    stream.deadline = bench.loop.now + 0.01
    bench.run(carry_out(bench, chain))
    (error,) = chain.told
    assert isinstance(error, TimedOut)
    assert error.party is Party.CLIENT


def test_a_coroutine_hears_of_its_own_deadline(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])

    async def read() -> Link:
        stream.deadline = bench.loop.now + 0.01
        try:
            await stream.read(1)
        except TimedOut as error:
            chain.told.append(type(error))
        stream.deadline = inf
        await stream.write(b"one")
        return None

    chain = Chain(read)
    bench.run(carry_out(bench, chain))
    assert chain.told == [TimedOut]
    assert pair[1].recv(10) == b"one"


def _raise(text: str) -> Link:
    raise LookupError(text)


async def _raising() -> Link:
    raise LookupError("in a coroutine")


def test_whatever_a_link_raises_leads_to_the_end(bench: Bench, pair: Pair) -> None:
    stream, late = (bench.stream(each) for each in pair)
    late.deadline = 0.0
    nothing = Chain(lambda: None)
    firsts: list[Callable[[], Link]] = [
        lambda: stream_plan(stream, ((None, OK),), lambda _usual, _reply: _raise("in then"), nothing.lost),
        lambda: stream_plan(late, ((b"x", OK),), nothing.then(), lambda _error: _raise("in lost")),
        lambda: _raise("in begin"),
        _raising,
    ]
    chains = [Chain(first) for first in firsts]
    bench.run(*(carry_out(bench, chain) for chain in chains))
    told = [str(text).strip("'") for chain in chains for text in chain.told]
    assert told == ["in then", "in lost", "in begin", "in a coroutine"]


def test_steps_that_are_none_lead_to_the_end(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    chain = Chain(lambda: stream_plan(stream, (), chain.then(), chain.lost))
    bench.run(carry_out(bench, chain))
    assert len(chain.told) == 1


def test_a_bug_in_the_end_is_the_loops(bench: Bench) -> None:
    chain = Chain(lambda: _raise("in begin"), bug_in_fail=True)
    bench.run(carry_out(bench, chain))
    assert chain.told == ["in begin"]
    assert [str(bug) for bug in bench.take_bugs()] == ["in the end"]


def test_a_chain_can_be_given_up(bench: Bench, pair: Pair) -> None:
    stream, closed = bench.stream(pair[0]), []

    async def wait() -> Link:
        try:
            await bench.implementation.task.wait_for(Bell())
        finally:
            closed.append(True)
        return None

    reading = Chain(lambda: None)
    for chain in (Chain(lambda: reading.plan(stream, (None, OK))), Chain(wait)):
        task = bench.implementation.task.Task(bench.loop, carry_out(bench, chain))
        task.resume()
        task.cancel()
        assert not chain.told
    assert closed == [True]


def test_a_chain_that_gives_itself_up_is_a_bug_and_goes_on(bench: Bench) -> None:
    async def give_up() -> Link:
        task.cancel()
        chain.told.append("still here")
        return None

    chain = Chain(give_up)
    task = bench.implementation.task.Task(bench.loop, carry_out(bench, chain))
    task.resume()
    assert chain.told == ["still here"]
    assert [str(bug) for bug in bench.take_bugs()] == ["coroutine already executing"]


def test_nothing_of_a_chain_is_left_for_the_collector(bench: Bench, pair: Pair) -> None:
    stream = bench.stream(pair[0])
    gc.collect()
    gc.disable()
    try:
        pair[1].send(b"OK\r\n")
        chain = Chain(lambda: stream_plan(stream, ((None, OK),), chain.then(_raising), chain.lost))
        bench.run(carry_out(bench, chain))
        assert chain.told == [(1, b"OK\r\n"), "in a coroutine"]
        assert not [each for each in gc.get_objects() if type(each).__name__ == "carry_out"]
    finally:
        gc.enable()


# Any plans, any cuttings: both engines say the same to all peers, and are told the same.

COMMANDS_OF_PLANS = st.sampled_from(COMMANDS)
REPLIES_OF_PLANS = st.sampled_from(REPLIES)
STEPS = st.lists(
    st.tuples(COMMANDS_OF_PLANS, REPLIES_OF_PLANS, st.integers(0, 12)).map(lambda step: (step[0], *step[1], step[2])),
    min_size=1,
    max_size=4,
)
PLANS = st.lists(st.tuples(st.integers(0, 2), STEPS), min_size=1, max_size=5)


@given(PLANS)
@example([(0, [(b"a\r\n", b"OK\r\n", OK, 2), (b"a\r\n", b"OK-1\r\nOK 2\r\n", LINES, 0)])])
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_both_engines_say_the_same_whatever_the_plans_and_cuttings(script: Script) -> None:
    check_both_engines(script)
