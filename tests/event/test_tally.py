from __future__ import annotations

import gc
import socket
import sys
import time
from contextlib import suppress
from functools import partial
from math import inf, nan
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.event.stream import SocketStream
from mailworker.event.tally import Places, SessionTally, Tally
from mailworker.event.timers import Timed
from tests.event.bench import Bench
from tests.support.implementations import Implementation

BOUNDS = (0.001, 0.5, 2.0)
WORDS = 8


@pytest.fixture(scope="session")
def kind(implementation: Implementation) -> type[Tally]:
    found: type[Tally] = implementation.tally.Tally
    return found


def row() -> memoryview:
    return memoryview(bytearray(8 * WORDS)).cast("Q")


def test_each_word_is_counted_apart(kind: type[Tally]) -> None:
    words = row()
    tally = kind(words)
    for place in (0, 3, 3, WORDS - 1):
        tally.add(place)
    for place, amount in ((4, 10), (5, 0), (6, 1 << 40), (4, 5)):
        tally.gain(place, amount)
    assert words.tolist() == [1, 0, 0, 2, 15, 0, 1 << 40, 1]


@pytest.mark.parametrize("place", [-1, WORDS, min(1 << 40, sys.maxsize)])
def test_a_word_that_is_not_there_is_left_alone(kind: type[Tally], place: int) -> None:
    words = row()
    tally = kind(words)
    with pytest.raises(IndexError):
        tally.add(place)
    with pytest.raises(IndexError):
        tally.gain(place, 1)
    with pytest.raises(IndexError):
        tally.observe(place, (), 1.0)
    assert not any(words.tolist())


def test_a_full_word_begins_anew(kind: type[Tally]) -> None:
    words = row()
    words[0] = (1 << 64) - 1
    kind(words).gain(0, 3)
    assert words[0] == 2


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.0005, 0), (0.001, 0), (0.0011, 1), (0.5, 1), (1, 2), (2.0, 2), (2.1, 3), (1e9, 3)],
)
def test_a_time_is_in_the_bucket_of_the_first_bound_that_holds_it(
    kind: type[Tally], seconds: float, bucket: int
) -> None:
    words = row()
    kind(words).observe(1, BOUNDS, seconds)
    assert words.tolist() == [0, *(int(each == bucket) for each in range(4)), int(seconds * 1_000_000), 0, 0]


def test_other_words_may_be_counted_with_a_time(kind: type[Tally]) -> None:
    words = row()
    kind(words).observe(0, BOUNDS, 1.0, 6, 7, 6)
    assert words.tolist() == [0, 0, 1, 0, 1_000_000, 0, 2, 1]


@pytest.mark.parametrize("seconds", [-1.0, -inf, inf, nan, 1e300])
def test_what_is_no_time_counts_as_none(kind: type[Tally], seconds: float) -> None:
    words = row()
    kind(words).observe(0, BOUNDS, seconds)
    assert words.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


@given(st.lists(st.floats(0, 100)))
def test_buckets_and_sum_are_those_of_all_times(kind: type[Tally], times: list[float]) -> None:
    words = row()
    tally = kind(words)
    for seconds in times:
        tally.observe(0, BOUNDS, seconds)
    assert sum(words[:4].tolist()) == len(times)
    assert words[4] == sum(int(seconds * 1_000_000) for seconds in times)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("add", ()),
        ("add", ("a",)),
        ("add", (0, 0)),
        ("gain", ()),
        ("gain", (0,)),
        ("gain", (0, 1, 1)),
        ("gain", ("a", 1)),
        ("gain", (0, "x")),
        ("gain", (0, 1.5)),
        ("observe", (0, ())),
        ("observe", ("a", (), 1.0)),
        ("observe", (0, (), "x")),
        ("observe", (0, ("a",), 1.0)),
        ("observe", (0, (), 0.0, "x")),
    ],
)
def test_what_is_no_number_is_refused(kind: type[Tally], method: str, arguments: tuple[Any, ...]) -> None:
    words = row()
    with pytest.raises(TypeError):
        getattr(kind(words), method)(*arguments)
    assert sum(words.tolist()) <= 1


def test_what_nobody_may_write_is_no_row(kind: type[Tally]) -> None:
    with pytest.raises((BufferError, TypeError)):
        kind(memoryview(bytes(8)).cast("Q")).add(0)


def test_a_row_that_was_refused_is_not_written(kind: type[Tally]) -> None:
    words = memoryview(bytes(8)).cast("Q")
    tally = kind.__new__(kind)
    with suppress(BufferError):
        kind.__init__(tally, words)
    with pytest.raises((IndexError, TypeError)):
        tally.add(0)
    assert words[0] == 0


class Moved(NamedTuple):
    """A connection."""

    received: int
    sent: int


class Reason(NamedTuple):
    """An end."""

    number: int


class Session(NamedTuple):
    """One that has ended."""

    reason: Reason
    client_bytes: Moved | SocketStream
    backend_bytes: Moved | SocketStream | None
    logged_in: float | None


# Where a SessionTally counts: words of one each, two histograms of two bounds, and a word for each method and end.
PLACES = Places(0, 1, 2, 6, 7, 11, 15, (19, 20, 21), (22, 23), (False, True), (0.5, 2.0), (60.0, 3600.0), False)
SIZE = 24


def counted(bench: Bench, **places: Any) -> tuple[SessionTally, memoryview, Timed, list[float]]:
    """What counts, where `places` are other ones, its words, its alarm, and when this was set off."""
    words, alarm, woken = memoryview(bytearray(8 * SIZE)).cast("Q"), bench.alarm(lambda: None), list[float]()

    def wake() -> None:
        woken.append(bench.loop.now)
        bench.loop.set_deadline(alarm, bench.loop.now + 1.0)

    tally = bench.implementation.tally.SessionTally(words, bench.loop, PLACES._replace(**places), alarm, wake)
    return tally, words, alarm, woken


def found(words: memoryview) -> dict[int, int]:
    return {place: value for place, value in enumerate(words.tolist()) if value}


@pytest.mark.parametrize("by_backend", [False, True])
def test_a_session_is_counted_by_four_calls(bench: Bench, by_backend: bool) -> None:
    tally, words, _, _ = counted(bench, by_backend=by_backend)
    tally.arrive()
    tally.allow(2, bench.loop.now - 1.0)
    assert found(words) == ({0: 1} if by_backend else {0: 1, 8: 1, 10: 1_000_000, 21: 1})
    tally.log_in(2, bench.loop.now - 3.0)
    tally.end(Session(Reason(0), Moved(1, 2), Moved(3, 4), bench.loop.now - 4000.0))
    judged = {} if by_backend else {8: 1, 10: 1_000_000}
    moved = {2: 1, 3: 2, 4: 3, 5: 4}
    assert found(words) == {0: 1, 1: 1, **moved, **judged, 13: 1, 14: 3_000_000, 17: 1, 18: 4_000_000_000, 21: 1, 22: 1}


def test_a_session_that_was_never_logged_in_has_no_time_and_an_odd_end_tells_when(bench: Bench) -> None:
    tally, words, _, _ = counted(bench)
    tally.end(Session(Reason(1), Moved(1, 2), None, None))
    seconds, number = divmod(words[6], 2)
    assert number == 1
    assert abs(seconds - time.time()) < 60
    assert {**found(words), 6: 0} == {2: 1, 3: 2, 6: 0, 23: 1}


def test_bytes_of_connections_are_added(bench: Bench) -> None:
    tally, words, _, _ = counted(bench)
    tally.end(Session(Reason(0), Moved(5, 6), Moved(7, 1 << 40), None))
    tally.end(Session(Reason(0), Moved(1, 1), None, None))
    assert found(words) == {2: 6, 3: 7, 4: 7, 5: 1 << 40, 22: 2}
    with pytest.raises(AttributeError):
        tally.end(Session(Reason(0), "no connection", None, None))  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        counted(bench, bytes=SIZE - 1)[0].end(Session(Reason(0), Moved(1, 1), None, None))
    with pytest.raises(IndexError):
        counted(bench, odd=(False,))[0].end(Session(Reason(1), Moved(1, 1), None, None))


def test_other_events_are_counted_as_by_any_tally(bench: Bench) -> None:
    tally, words, _, _ = counted(bench)
    tally.add(0)
    tally.gain(1, 5)
    tally.observe(7, PLACES.latency, 1.0, 22)
    assert found(words) == {0: 1, 1: 5, 8: 1, 10: 1_000_000, 22: 1}
    with pytest.raises(IndexError):
        tally.add(SIZE)


def test_bytes_of_streams_are_added(bench: Bench) -> None:
    async def talk(stream: SocketStream) -> None:
        assert await stream.read(10) == b"hello"
        await stream.write(b"hi")

    tally, words, _, _ = counted(bench)
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"hello")
        stream = bench.stream(ours)
        bench.run(talk(stream))
        tally.end(Session(Reason(0), stream, stream, None))
        stream.close()
    assert words.tolist()[2:6] == [5, 2, 5, 2]


def test_only_a_client_that_comes_while_nobody_is_there_wakes_it(bench: Bench) -> None:
    tally, words, alarm, woken = counted(bench)
    tally.arrive()
    tally.arrive()
    assert len(woken) == 1
    bench.loop.cancel_deadline(alarm)
    tally.arrive()
    assert (len(woken), words[0]) == (2, 3)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("arrive", ()),
        ("allow", (0, 0.0)),
        ("log_in", (0, 0.0)),
        ("end", (Session(Reason(0), Moved(1, 2), None, 0.0),)),
    ],
)
def test_one_without_words_counts_nothing(bench: Bench, method: str, arguments: tuple[Any, ...]) -> None:
    kind = bench.implementation.tally.SessionTally
    with pytest.raises((AttributeError, IndexError)):
        getattr(kind.__new__(kind), method)(*arguments)


def test_a_circle_lets_its_words_go(bench: Bench) -> None:
    words, alarm = memoryview(bytearray(8 * SIZE)).cast("Q"), bench.alarm(lambda: None)

    def begin() -> None:
        circle: list[SessionTally] = []
        wake = partial(list.clear, circle)
        circle.append(bench.implementation.tally.SessionTally(words, bench.loop, PLACES, alarm, wake))

    begin()
    gc.collect()
    words.release()


def test_a_number_that_is_none_is_an_error(bench: Bench) -> None:
    tally, words, _, _ = counted(bench)
    with pytest.raises(IndexError):
        tally.allow(3, bench.loop.now)
    with pytest.raises(IndexError):
        tally.end(Session(Reason(2), Moved(1, 2), None, None))
    assert words[2] == 0
