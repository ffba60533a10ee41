"""What goes beyond `tests/event/test_selector.py`, which every selector has to pass."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey
from time import monotonic
from types import FrameType
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("epoll is Linux's", allow_module_level=True)

from mailworker.event.loop import Loop
from mailworker.native.core.epoll import EpollSelector
from mailworker.native.core.tasks import Timed, Timers
from tests.event.bench import Watcher


class _Loop:
    now = 0.0
    urgent = True  # one round is enough


@pytest.fixture
def selector() -> Iterator[EpollSelector]:
    with EpollSelector() as selector:
        yield selector


@pytest.fixture
def readable() -> Iterator[Callable[[], int]]:
    """Makes descriptors that can be read from."""
    with ExitStack() as stack:

        def make() -> int:
            ours, theirs = socket.socketpair()
            theirs.send(b"x")
            stack.enter_context(theirs)
            return stack.enter_context(ours).fileno()

        yield make


Readable = Callable[[], int]


def _dispatch(selector: EpollSelector) -> None:
    selector.dispatch(_Loop(), monotonic, Timers(), 0)


def test_it_is_a_selector(selector: EpollSelector, readable: Readable) -> None:
    assert isinstance(selector, BaseSelector)
    descriptor = readable()
    key = selector.register(descriptor, EVENT_READ, "data")
    assert isinstance(key, SelectorKey)
    assert key == SelectorKey(descriptor, descriptor, EVENT_READ, "data")
    assert dict(selector.get_map()) == {descriptor: key}
    assert selector.get_key(descriptor) == key
    assert selector.select() == [(key, EVENT_READ)]


def test_arguments_have_the_names_of_the_interface(selector: EpollSelector) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert selector.register(fileobj=ours, events=EVENT_READ).data is None
        assert selector.modify(ours, data="it", events=EVENT_WRITE).data == "it"
        assert selector.select(timeout=None) == [(selector.get_key(ours.fileno()), EVENT_WRITE)]
        assert selector.unregister(ours).data == "it"


def test_a_loop_makes_no_keys(selector: EpollSelector, readable: Readable, monkeypatch: pytest.MonkeyPatch) -> None:
    bugs: list[Exception] = []
    loop = Loop(bugs.append, selector)
    monkeypatch.setattr("mailworker.native.core.epoll.SelectorKey", None)
    descriptor = readable()

    def end() -> None:
        loop.unwatch(descriptor)
        loop.stop()

    assert loop.watch(descriptor, EVENT_WRITE, Watcher()) is None
    assert loop.change(descriptor, EVENT_READ, Watcher(end)) is None
    loop.run()
    assert not bugs


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda selector: selector.register(0), TypeError),
        (lambda selector: selector.register(0, 1, 2, 3), TypeError),
        (lambda selector: selector.register(0, 1, handler=2), TypeError),
        (lambda selector: selector.register(0, 1, fileobj=0), TypeError),
        (lambda selector: selector.register(0, "read"), TypeError),
        (lambda selector: selector.register(0, 0), ValueError),
        (lambda selector: selector.register(0, 4), ValueError),
        (lambda selector: selector.register("0", 1), TypeError),
        (lambda selector: selector.register(-1, 1), ValueError),
        (lambda selector: selector.watch_exclusive(0), TypeError),
        (lambda selector: selector.watch(0, 1), TypeError),
        (lambda selector: selector.change(0, 1), TypeError),
        (lambda selector: selector.unwatch(0), KeyError),
        (lambda selector: selector.modify(0, 1 << 70), OverflowError),
        (lambda selector: selector.modify(-1, 1), ValueError),
        (lambda selector: selector.forget(0), KeyError),
        (lambda selector: selector.unregister(1 << 20), KeyError),
        (lambda selector: selector.select("soon"), TypeError),
        (lambda selector: selector.dispatch(_Loop()), TypeError),
        (lambda selector: selector.dispatch(_Loop(), monotonic, Timers(), "soon"), TypeError),
        (lambda selector: selector.dispatch(object(), monotonic, Timers(), 0), AttributeError),
        (lambda selector: selector.dispatch(_Loop(), lambda: 1 / 0, Timers(), 0), ZeroDivisionError),
    ],
)
def test_wrong_arguments_are_errors(
    selector: EpollSelector, call: Callable[[Any], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(selector)
    assert not selector.get_map()


def test_what_cannot_be_watched_is_the_systems_error(selector: EpollSelector, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(PermissionError):
        selector.register(file, EVENT_READ)
    assert not selector.get_map()


def test_a_descriptor_that_was_closed_meanwhile_is_the_systems_error(selector: EpollSelector) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        descriptor = ours.fileno()
        selector.register(descriptor, EVENT_READ)
        ours.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            selector.modify(descriptor, EVENT_WRITE)
        with pytest.raises(OSError, match="Bad file descriptor"):
            selector.unregister(descriptor)
        assert not selector.get_map()


def test_more_descriptors_than_at_first(selector: EpollSelector, readable: Readable) -> None:
    handlers = [Watcher() for _ in range(100)]
    for handler in handlers:
        selector.register(readable(), EVENT_READ, handler)
    assert len(selector.get_map()) == len(selector.select(0)) == 100
    _dispatch(selector)
    assert all(handler.masks == [EVENT_READ] for handler in handlers)


def test_the_time_is_told_before_the_first_call(selector: EpollSelector, readable: Readable) -> None:
    loop = _Loop()
    told: list[float] = []
    selector.register(readable(), EVENT_READ, Watcher(lambda: told.append(loop.now)))
    selector.dispatch(loop, lambda: 4711.0, Timers(), None)
    assert told == [4711.0]


def test_it_waits_again_until_something_is_urgent(selector: EpollSelector, readable: Readable) -> None:
    loop = _Loop()
    loop.urgent = False
    handler = Watcher(lambda: setattr(loop, "urgent", len(handler.masks) == 3))
    selector.register(readable(), EVENT_READ, handler)
    selector.dispatch(loop, monotonic, Timers(), None)
    assert len(handler.masks) == 3


def test_it_waits_again_until_something_is_due(selector: EpollSelector, readable: Readable) -> None:
    loop, timers = _Loop(), Timers()
    loop.urgent = False
    times = iter((1.0, 2.0, 3.0, 4.0, 5.0))
    timers.set(Timed(), 3.0, 0.0)
    handler = Watcher()
    selector.register(readable(), EVENT_READ, handler)
    selector.dispatch(loop, lambda: next(times), timers, None)
    assert loop.now == 3.0
    assert len(handler.masks) == 3


@pytest.mark.parametrize("give_up", ["forget", "unregister"])
def test_who_is_given_up_before_its_turn_is_not_called(
    selector: EpollSelector, readable: Readable, give_up: str
) -> None:
    descriptors = [readable(), readable()]
    handlers = [Watcher(partial(getattr(selector, give_up), other)) for other in reversed(descriptors)]
    for descriptor, handler in zip(descriptors, handlers, strict=True):
        selector.register(descriptor, EVENT_READ, handler)
    _dispatch(selector)
    assert sorted(handler.masks for handler in handlers) == [[], [EVENT_READ]]


def test_who_takes_the_descriptor_of_another_is_not_called_for_it(selector: EpollSelector, readable: Readable) -> None:
    descriptors, silent = [readable(), readable()], socket.socketpair()
    second = Watcher()

    def replace() -> None:
        (called,) = (each for each in descriptors if handlers[each].masks)
        (other,) = (each for each in descriptors if each != called)
        selector.unregister(called)
        selector.forget(other)
        os.dup2(silent[0].fileno(), other)
        selector.register(other, EVENT_READ, second)

    handlers = {descriptor: Watcher(replace) for descriptor in descriptors}
    for descriptor, handler in handlers.items():
        selector.register(descriptor, EVENT_READ, handler)
    with silent[0], silent[1]:
        _dispatch(selector)
        _dispatch(selector)
        assert not second.masks
        silent[1].send(b"x")
        _dispatch(selector)
        assert second.masks == [EVENT_READ]


def test_who_follows_another_on_the_same_connection_has_its_turn_at_once(
    selector: EpollSelector, readable: Readable
) -> None:
    descriptors = [readable(), readable()]
    second = Watcher()

    def replace() -> None:
        (other,) = (each for each in descriptors if not handlers[each].masks)
        selector.modify(other, EVENT_READ, second)

    handlers = {descriptor: Watcher(replace) for descriptor in descriptors}
    for descriptor, handler in handlers.items():
        selector.register(descriptor, EVENT_READ, handler)
    _dispatch(selector)
    assert second.masks == [EVENT_READ]


def test_an_exception_ends_the_round_and_who_is_left_has_a_turn_in_the_next(
    selector: EpollSelector, readable: Readable
) -> None:
    first: list[int] = []

    def fail_once() -> None:
        if not first:
            first.append(1)
            raise ZeroDivisionError

    handlers = [Watcher(fail_once), Watcher(fail_once)]
    for handler in handlers:
        selector.register(readable(), EVENT_READ, handler)
    with pytest.raises(ZeroDivisionError):
        _dispatch(selector)
    assert sorted(handler.masks for handler in handlers) == [[], [EVENT_READ]]
    _dispatch(selector)
    assert all(handler.masks for handler in handlers)


def test_a_handler_without_the_method_is_an_error(selector: EpollSelector, readable: Readable) -> None:
    selector.register(readable(), EVENT_READ, object())
    with pytest.raises(AttributeError):
        _dispatch(selector)


@pytest.mark.parametrize("seconds", [-1, 0, -0.001])
def test_what_is_not_positive_does_not_wait(selector: EpollSelector, seconds: float) -> None:
    assert selector.select(seconds) == []


def test_waiting_never_ends_early(selector: EpollSelector) -> None:
    for milliseconds in (0.1, 1.5, 10.01):
        end = monotonic() + milliseconds / 1000
        selector.dispatch(_Loop(), monotonic, Timers(), milliseconds / 1000)
        assert monotonic() >= end


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Calls `action` in 10 milliseconds."""
    actions: list[Callable[[], None]] = []

    def called(number: int, frame: FrameType | None) -> None:
        actions.pop()()

    def set_alarm(action: Callable[[], None]) -> None:
        actions.append(action)
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    timer = signal.getitimer(signal.ITIMER_REAL)
    handler = signal.signal(signal.SIGALRM, called)
    yield set_alarm
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


SetAlarm = Callable[[Callable[[], None]], None]


def test_a_signal_is_handled_and_the_rest_of_the_time_is_waited_for(selector: EpollSelector, alarm: SetAlarm) -> None:
    handled: list[float] = []
    end = monotonic() + 0.05
    alarm(lambda: handled.append(monotonic()))
    assert selector.select(0.05) == []
    assert handled[0] < monotonic()
    assert monotonic() >= end


@pytest.mark.parametrize("timeout", [None, 30])
def test_what_a_signals_handler_raises_ends_the_wait(
    selector: EpollSelector, alarm: SetAlarm, timeout: float | None
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    alarm(fail)
    with pytest.raises(ZeroDivisionError):
        selector.dispatch(_Loop(), monotonic, Timers(), timeout)


@pytest.mark.timeout(30)
def test_other_threads_run_while_one_waits(selector: EpollSelector) -> None:
    ours, theirs = socket.socketpair()
    waiting = threading.Event()

    def send() -> None:
        waiting.wait()
        theirs.send(b"x")

    with ours, theirs:
        thread = threading.Thread(target=send)
        thread.start()
        selector.register(ours, EVENT_READ, Watcher())
        waiting.set()
        selector.dispatch(_Loop(), monotonic, Timers(), None)
        thread.join()


def test_a_closed_selector_watches_nothing(readable: Readable) -> None:
    selector, handler, descriptor = EpollSelector(), Watcher(), readable()
    selector.register(descriptor, EVENT_READ, handler)
    selector.close()
    selector.close()
    assert not selector.get_map()
    with pytest.raises(OSError, match="Bad file descriptor"):
        selector.register(descriptor, EVENT_READ, handler)
    with pytest.raises(OSError, match="Bad file descriptor"):
        selector.select(0)
    assert sys.getrefcount(handler) == 2


def test_no_handler_is_held_beyond_its_watch(selector: EpollSelector, readable: Readable) -> None:
    first, second, descriptor = Watcher(), Watcher(), readable()
    selector.register(descriptor, EVENT_READ, first)
    selector.select(0)
    selector.modify(descriptor, EVENT_READ, second)
    _dispatch(selector)
    selector.get_map()
    selector.unregister(descriptor)
    selector.watch_exclusive(descriptor, first)
    selector.forget(descriptor)
    assert sys.getrefcount(first) == sys.getrefcount(second) == 2


def test_the_collector_finds_what_watches_its_own_selector(readable: Readable) -> None:
    class Owner(Watcher):
        pass

    owner, selector = Owner(), EpollSelector()
    owner.selector = selector  # type: ignore[attr-defined]
    selector.register(readable(), EVENT_READ, owner)
    gone = weakref.ref(owner)
    del owner, selector
    gc.collect()
    assert gone() is None


def test_without_descriptors_there_is_no_selector() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            EpollSelector()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
