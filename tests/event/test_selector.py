from __future__ import annotations

import selectors
import socket

import pytest

from mailworker.event.selector import READ, WRITE, new_selector

Pair = tuple[socket.socket, socket.socket]


def _ready(selector: selectors.BaseSelector) -> list[tuple[object, int]]:
    return [(key.data, mask) for key, mask in selector.select(0)]


@pytest.mark.parametrize(
    ("events", "mask"), [(READ, 0), (WRITE, WRITE), (READ | WRITE, WRITE)], ids=["read", "write", "both"]
)
def test_an_idle_connection_can_be_written_to(
    selector: selectors.BaseSelector, pair: Pair, events: int, mask: int
) -> None:
    selector.register(pair[0].fileno(), events, "it")
    assert _ready(selector) == ([("it", mask)] if mask else [])


def test_input_is_reported_until_it_is_read(selector: selectors.BaseSelector, pair: Pair) -> None:
    selector.register(pair[0].fileno(), READ, "it")
    pair[1].send(b"x")
    assert _ready(selector) == _ready(selector) == [("it", READ)]
    pair[0].recv(1)
    assert not _ready(selector)


@pytest.mark.parametrize("events", [READ, WRITE])
def test_a_failure_is_reported_as_what_is_waited_for(selector: selectors.BaseSelector, pair: Pair, events: int) -> None:
    selector.register(pair[0].fileno(), events, "it")
    pair[1].close()
    assert _ready(selector) == [("it", events)]


def test_other_events_and_another_handler_take_the_place_of_the_first(
    selector: selectors.BaseSelector, pair: Pair
) -> None:
    descriptor = pair[0].fileno()
    selector.register(descriptor, READ, "reader")
    selector.modify(descriptor, WRITE, "writer")
    assert _ready(selector) == [("writer", WRITE)]
    selector.modify(descriptor, WRITE, "another writer")
    assert _ready(selector) == [("another writer", WRITE)]
    assert selector.get_key(descriptor).data == "another writer"


def test_nothing_is_reported_of_what_was_unregistered(selector: selectors.BaseSelector, pair: Pair) -> None:
    descriptor = pair[0].fileno()
    selector.register(descriptor, WRITE, "it")
    assert selector.unregister(descriptor).data == "it"
    assert not _ready(selector)
    assert not selector.get_map()


def test_nothing_is_registered_twice_or_unregistered_before(selector: selectors.BaseSelector, pair: Pair) -> None:
    descriptor = pair[0].fileno()
    with pytest.raises(KeyError):
        selector.unregister(descriptor)
    with pytest.raises(KeyError):
        selector.modify(descriptor, READ, None)
    selector.register(descriptor, READ, None)
    with pytest.raises(KeyError):
        selector.register(descriptor, READ, None)


def test_a_descriptor_that_is_closed_and_used_again_is_a_new_one(selector: selectors.BaseSelector) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        descriptor = ours.fileno()
        selector.register(descriptor, READ, "old")
        selector.unregister(descriptor)
        ours.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        assert descriptor == ours.fileno()
        selector.register(descriptor, READ, "new")
        assert _ready(selector) == [("new", READ)]
        selector.unregister(descriptor)


def test_a_refused_registration_leaves_no_trace(selector: selectors.BaseSelector) -> None:
    with pytest.raises((OSError, ValueError)):
        selector.register(-1, READ, "it")
    assert not selector.get_map()


def test_a_shared_listener_is_reported_to_each_selector_that_looks(listening: socket.socket) -> None:
    with new_selector() as one, new_selector() as another:
        for selector in (one, another):
            register = getattr(selector, "watch_exclusive", None)
            if register is None:
                pytest.skip("this system has no EPOLLEXCLUSIVE")
            register(listening.fileno(), "listener")
        with socket.create_connection(listening.getsockname()):
            assert _ready(one) == [("listener", READ)]
            assert _ready(another) == [("listener", READ)]
            one.unregister(listening.fileno())
            assert not _ready(one)
