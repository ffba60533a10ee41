from __future__ import annotations

import os
import selectors
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from time import monotonic

import pytest

from mailworker.event.loop import LoopState
from mailworker.event.poller import READ, WRITE, Poller
from tests.event.bench import Watcher
from tests.support.implementations import Implementation

# Of linux/in.h; Python has no name for it.
IP_RECVERR = 11

Pair = tuple[socket.socket, socket.socket]
Ready = Callable[[], None]


@pytest.fixture
def state(poller: Poller, implementation: Implementation) -> LoopState:
    """One round is enough for it."""
    state: LoopState = implementation.loop.LoopState(poller, lambda: 4711.0, lambda bug: None)
    state.urgent = True
    return state


@pytest.mark.parametrize(
    ("events", "mask"), [(READ, 0), (WRITE, WRITE), (READ | WRITE, WRITE)], ids=["read", "write", "both"]
)
def test_an_idle_connection_can_be_written_to(
    poller: Poller, state: LoopState, pair: Pair, events: int, mask: int
) -> None:
    watcher = Watcher()
    poller.watch(pair[0].fileno(), events, watcher)
    poller.dispatch(state, 0.0)
    assert watcher.masks == ([mask] if mask else [])


def test_input_is_reported_until_it_is_read(poller: Poller, state: LoopState, pair: Pair) -> None:
    watcher = Watcher()
    poller.watch(pair[0].fileno(), READ, watcher)
    pair[1].send(b"x")
    for _ in range(2):
        poller.dispatch(state, None)
    pair[0].recv(1)
    poller.dispatch(state, 0.0)
    assert watcher.masks == [READ, READ]


@pytest.mark.parametrize("events", [READ, WRITE])
def test_a_failure_is_reported_as_what_is_waited_for(poller: Poller, state: LoopState, pair: Pair, events: int) -> None:
    watcher = Watcher()
    poller.watch(pair[0].fileno(), events, watcher)
    pair[1].close()
    poller.dispatch(state, None)
    assert watcher.masks == [events]


@pytest.mark.parametrize("events", [READ, WRITE])
def test_what_is_not_waited_for_ends_no_wait(poller: Poller, state: LoopState, pair: Pair, events: int) -> None:
    if events == WRITE:
        pair[1].send(b"x")
        with suppress(BlockingIOError):
            while True:
                pair[0].send(bytes(65536))
    poller.watch(pair[0].fileno(), events, watcher := Watcher())
    began = monotonic()
    poller.dispatch(state, 0.05)
    assert monotonic() - began >= 0.05
    assert not watcher.masks


@pytest.mark.parametrize(("end", "events"), [(0, READ), (1, WRITE)], ids=["reader", "writer"])
def test_the_end_of_a_pipe_is_reported_to_the_other_end(
    poller: Poller, state: LoopState, end: int, events: int
) -> None:
    ends, watcher = os.pipe(), Watcher()
    try:
        poller.watch(ends[end], events, watcher)
    finally:
        os.close(ends[1 - end])
    poller.dispatch(state, None)
    poller.unwatch(ends[end])
    os.close(ends[end])
    assert watcher.masks == [events]


@pytest.mark.skipif(sys.platform != "linux", reason="others queue no messages")
def test_a_message_that_no_call_fails_for_is_no_failure(poller: Poller, state: LoopState) -> None:
    if type(poller).__name__ == "SelectorPoller":
        return  # no selector tells errors from input, and "use" refuses them on Linux
    watcher = Watcher()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        theirs.bind(("127.0.0.1", 0))
        theirs.connect(("127.0.0.1", 9))  # so it refuses what others send
        ours.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        ours.connect(theirs.getsockname())
        ours.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            ours.recv(1)
        poller.watch(ours.fileno(), READ, watcher)
        for _ in range(2):
            poller.dispatch(state, 0.0)
        poller.unwatch(ours.fileno())
    assert not watcher.masks


def test_other_events_and_another_handler_take_the_place_of_the_first(
    poller: Poller, state: LoopState, pair: Pair
) -> None:
    descriptor = pair[0].fileno()
    reader, writer, another = Watcher(), Watcher(), Watcher()
    poller.watch(descriptor, READ, reader)
    poller.change(descriptor, WRITE, writer)
    poller.dispatch(state, 0.0)
    poller.change(descriptor, WRITE, another)
    poller.dispatch(state, 0.0)
    assert (reader.masks, writer.masks, another.masks) == ([], [WRITE], [WRITE])


@pytest.mark.parametrize("end", ["unwatch", "forget"])
def test_nothing_is_reported_of_what_is_watched_no_longer(
    poller: Poller, state: LoopState, pair: Pair, end: str
) -> None:
    descriptor, watcher = pair[0].fileno(), Watcher()
    poller.watch(descriptor, WRITE, watcher)
    getattr(poller, end)(descriptor)
    poller.dispatch(state, 0.0)
    assert not watcher.masks


def test_nothing_is_watched_twice_or_given_up_before(poller: Poller, pair: Pair) -> None:
    descriptor = pair[0].fileno()
    for end in (poller.unwatch, poller.forget):
        with pytest.raises(KeyError):
            end(descriptor)
    with pytest.raises(KeyError):
        poller.change(descriptor, READ, Watcher())
    poller.watch(descriptor, READ, Watcher())
    with pytest.raises(KeyError):
        poller.watch(descriptor, READ, Watcher())


@pytest.mark.parametrize("events", [0, 4])
def test_events_are_read_and_write_alone(poller: Poller, pair: Pair, events: int) -> None:
    with pytest.raises(ValueError, match=f"Invalid events: {events}"):
        poller.watch(pair[0].fileno(), events, Watcher())


def test_a_descriptor_that_is_closed_and_used_again_is_a_new_one(poller: Poller, state: LoopState) -> None:
    ours, theirs = socket.socketpair()
    old, new = Watcher(), Watcher()
    with theirs:
        descriptor = ours.fileno()
        poller.watch(descriptor, READ, old)
        poller.unwatch(descriptor)
        ours.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        assert descriptor == ours.fileno()
        poller.watch(descriptor, READ, new)
        poller.dispatch(state, None)
        poller.unwatch(descriptor)
    assert (old.masks, new.masks) == ([], [READ])


@pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's")
def test_who_takes_a_descriptor_within_a_round_is_not_called_for_who_had_it(
    implementation: Implementation, resources: ExitStack
) -> None:
    poller = implementation.poller.Epoll()
    resources.callback(poller.close)
    state = implementation.loop.LoopState(poller, lambda: 1.0, lambda bug: None)
    state.urgent = True
    first, second = [resources.enter_context(each).fileno() for each in socket.socketpair()]
    old, new = [Watcher(lambda: take(first, second)), Watcher(lambda: take(second, first))], Watcher()

    def take(called: int, other: int) -> None:
        poller.unwatch(called)
        poller.unwatch(other)
        poller.watch(other, WRITE, new)

    for descriptor, watcher in zip((first, second), old, strict=True):
        poller.watch(descriptor, WRITE, watcher)
    poller.dispatch(state, None)
    assert sorted(watcher.masks for watcher in old) == [[], [WRITE]]
    assert not new.masks
    poller.dispatch(state, None)
    assert new.masks == [WRITE]


def test_a_refused_descriptor_leaves_no_trace(poller: Poller) -> None:
    with pytest.raises((OSError, ValueError)):
        poller.watch(-1, READ, Watcher())
    with pytest.raises((KeyError, ValueError)):
        poller.unwatch(-1)


def test_the_time_is_told_before_the_first_call(poller: Poller, state: LoopState, pair: Pair) -> None:
    told: list[float] = []
    state.now = 0.0
    poller.watch(pair[0].fileno(), WRITE, Watcher(lambda: told.append(state.now)))
    poller.dispatch(state, None)
    assert told == [4711.0]


def test_an_exception_ends_the_round_and_who_is_left_has_a_turn_in_the_next(
    poller: Poller, state: LoopState, resources: ExitStack
) -> None:
    first: list[int] = []

    def fail_once() -> None:
        if not first:
            first.append(1)
            raise ZeroDivisionError

    watchers = [Watcher(fail_once), Watcher(fail_once)]
    for watcher in watchers:
        ours, theirs = socket.socketpair()
        resources.enter_context(ours)
        resources.enter_context(theirs)
        poller.watch(ours.fileno(), WRITE, watcher)
    with pytest.raises(ZeroDivisionError):
        poller.dispatch(state, None)
    assert sorted(watcher.masks for watcher in watchers) == [[], [WRITE]]
    poller.dispatch(state, None)
    assert all(watcher.masks for watcher in watchers)


@pytest.fixture
def both(implementation: Implementation) -> Iterator[list[Poller]]:
    pollers = [implementation.poller.new_poller() for _ in range(2)]
    yield pollers
    for poller in pollers:
        poller.close()


def test_a_shared_listener_is_reported_to_each_poller_that_looks(
    both: list[Poller], implementation: Implementation, listening: socket.socket
) -> None:
    watchers = [Watcher(), Watcher()]
    states = [implementation.loop.LoopState(poller, lambda: 1.0, lambda bug: None) for poller in both]
    for poller, state, watcher in zip(both, states, watchers, strict=True):
        state.urgent = True
        poller.watch_exclusive(listening.fileno(), watcher)
    with socket.create_connection(listening.getsockname()):
        for poller, state in zip(both, states, strict=True):
            poller.dispatch(state, None)
        both[0].unwatch(listening.fileno())
        both[0].dispatch(states[0], 0.0)
    assert [watcher.masks for watcher in watchers] == [[READ], [READ]]


def test_a_poller_is_closed_twice_without_harm(poller: Poller) -> None:
    poller.close()
    poller.close()


def test_any_selector_makes_a_poller(implementation: Implementation) -> None:
    named = {
        "select": selectors.SelectSelector,
        selectors.DefaultSelector.__name__.removesuffix("Selector").lower(): selectors.DefaultSelector,
    }
    for name, make in named.items():
        poller = implementation.poller.SelectorPoller(make())
        assert poller.method == name
        poller.close()


@pytest.mark.skipif(sys.platform != "linux", reason="epoll is Linux's")
def test_on_linux_it_is_epoll(implementation: Implementation) -> None:
    poller = implementation.poller.new_poller()
    assert poller.method == "epoll"
    assert isinstance(poller, implementation.poller.Epoll)
    poller.close()
