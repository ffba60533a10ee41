"""What goes beyond `tests/event/test_poller.py`, which every poller has to pass."""

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
from time import monotonic
from types import FrameType
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("epoll is Linux's", allow_module_level=True)

from mailworker.event.loop import LoopState
from mailworker.event.poller import READ, WRITE, Poller
from mailworker.event.timers import Timed
from mailworker.native.core import accelerator
from tests.event.bench import Watcher

if accelerator is None:
    pytest.skip("there is no C", allow_module_level=True)


def _no_bug(bug: Exception) -> None:
    raise bug


def _state(poller: Poller, clock: Callable[[], float] = monotonic) -> LoopState:
    """One round is enough for it."""
    state = LoopState(poller, clock, _no_bug)
    state.urgent = True
    return state


@pytest.fixture
def poller() -> Iterator[Poller]:
    assert accelerator is not None
    poller: Poller = accelerator.Epoll()
    yield poller
    poller.close()


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


def _dispatch(poller: Poller, timeout: float | None = 0.0) -> None:
    poller.dispatch(_state(poller), timeout)


def _fail_at_second_time(poller: Poller) -> None:
    times = [1.0]
    state = _state(poller, lambda: times.pop() / 1 if times else 1 / 0)
    poller.dispatch(state, 0)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda poller: poller.watch(0), TypeError),
        (lambda poller: poller.watch(0, 1, 2, 3), TypeError),
        (lambda poller: poller.watch(0, "read", None), TypeError),
        (lambda poller: poller.watch(0, 1 << 70, None), OverflowError),
        (lambda poller: poller.watch("0", 1, None), TypeError),
        (lambda poller: poller.watch(-1, 1, None), OSError),
        (lambda poller: poller.watch((1 << 31) - 1, 1, None), OSError),
        (lambda poller: poller.watch_exclusive(0), TypeError),
        (lambda poller: poller.change(0, 1), TypeError),
        (lambda poller: poller.change(-1, 1, None), KeyError),
        (lambda poller: poller.unwatch(1 << 20), KeyError),
        (lambda poller: poller.forget("0"), TypeError),
        (lambda poller: poller.dispatch(_state(poller)), TypeError),
        (lambda poller: poller.dispatch(_state(poller), "soon"), TypeError),
        (lambda poller: poller.dispatch(object(), 0), TypeError),
        (_fail_at_second_time, ZeroDivisionError),
    ],
)
def test_wrong_arguments_are_errors(poller: Poller, call: Callable[[Any], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        call(poller)


def test_what_cannot_be_watched_is_the_systems_error(poller: Poller, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        with pytest.raises(PermissionError):
            poller.watch(file.fileno(), READ, Watcher())
        with pytest.raises(KeyError):
            poller.unwatch(file.fileno())


def test_a_descriptor_that_was_closed_meanwhile_is_the_systems_error(poller: Poller) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        descriptor = ours.fileno()
        poller.watch(descriptor, READ, Watcher())
        ours.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            poller.change(descriptor, WRITE, Watcher())
        with pytest.raises(OSError, match="Bad file descriptor"):
            poller.unwatch(descriptor)
        with pytest.raises(KeyError):
            poller.forget(descriptor)


def test_more_descriptors_than_at_first(poller: Poller, readable: Readable) -> None:
    handlers = [Watcher() for _ in range(100)]
    for handler in handlers:
        poller.watch(readable(), READ, handler)
    _dispatch(poller)
    assert all(handler.masks == [READ] for handler in handlers)


def test_the_time_is_that_of_the_monotonic_clock(poller: Poller) -> None:
    state, before = _state(poller), monotonic()
    poller.dispatch(state, 0)
    assert before <= state.now <= monotonic()


def test_it_waits_again_until_something_is_urgent(poller: Poller, readable: Readable) -> None:
    state = _state(poller)
    state.urgent = False
    handler = Watcher(lambda: setattr(state, "urgent", len(handler.masks) == 3))
    poller.watch(readable(), READ, handler)
    poller.dispatch(state, None)
    assert len(handler.masks) == 3


def test_it_waits_again_until_something_is_due(poller: Poller, readable: Readable) -> None:
    times = iter((0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
    state = _state(poller, lambda: next(times))
    state.urgent = False
    state.timers.set(Timed(), 3.0, 0.0)
    handler = Watcher()
    poller.watch(readable(), READ, handler)
    poller.dispatch(state, None)
    assert state.now == 3.0
    assert len(handler.masks) == 3


@pytest.mark.parametrize("give_up", ["forget", "unwatch"])
def test_who_is_given_up_before_its_turn_is_not_called(poller: Poller, readable: Readable, give_up: str) -> None:
    descriptors = [readable(), readable()]
    handlers = [Watcher(partial(getattr(poller, give_up), other)) for other in reversed(descriptors)]
    for descriptor, handler in zip(descriptors, handlers, strict=True):
        poller.watch(descriptor, READ, handler)
    _dispatch(poller)
    assert sorted(handler.masks for handler in handlers) == [[], [READ]]


def test_who_takes_the_descriptor_of_another_is_not_called_for_it(poller: Poller, readable: Readable) -> None:
    descriptors, silent = [readable(), readable()], socket.socketpair()
    second = Watcher()

    def replace() -> None:
        (called,) = (each for each in descriptors if handlers[each].masks)
        (other,) = (each for each in descriptors if each != called)
        poller.unwatch(called)
        poller.forget(other)
        os.dup2(silent[0].fileno(), other)
        poller.watch(other, READ, second)

    handlers = {descriptor: Watcher(replace) for descriptor in descriptors}
    for descriptor, handler in handlers.items():
        poller.watch(descriptor, READ, handler)
    with silent[0], silent[1]:
        _dispatch(poller)
        _dispatch(poller)
        assert not second.masks
        silent[1].send(b"x")
        _dispatch(poller)
        assert second.masks == [READ]


def test_who_follows_another_on_the_same_connection_has_its_turn_at_once(poller: Poller, readable: Readable) -> None:
    descriptors = [readable(), readable()]
    second = Watcher()

    def replace() -> None:
        (other,) = (each for each in descriptors if not handlers[each].masks)
        poller.change(other, READ, second)

    handlers = {descriptor: Watcher(replace) for descriptor in descriptors}
    for descriptor, handler in handlers.items():
        poller.watch(descriptor, READ, handler)
    _dispatch(poller)
    assert second.masks == [READ]


def test_a_handler_without_the_method_is_an_error(poller: Poller, readable: Readable) -> None:
    poller.watch(readable(), READ, object())  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        _dispatch(poller)


@pytest.mark.parametrize("seconds", [-1, 0, -0.001])
def test_what_is_not_positive_does_not_wait(poller: Poller, seconds: float) -> None:
    _dispatch(poller, seconds)


def test_waiting_never_ends_early(poller: Poller) -> None:
    for milliseconds in (0.1, 1.5, 10.01):
        end = monotonic() + milliseconds / 1000
        _dispatch(poller, milliseconds / 1000)
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


def test_a_signal_is_handled_and_ends_the_wait(poller: Poller, alarm: SetAlarm) -> None:
    handled: list[float] = []
    alarm(lambda: handled.append(monotonic()))
    _dispatch(poller, None)
    assert handled[0] <= monotonic()


def test_a_loop_that_a_signal_woke_waits_on_until_something_is_due(poller: Poller, alarm: SetAlarm) -> None:
    state, handled = _state(poller), list[float]()
    state.urgent = False
    due = state.now + 0.05
    state.timers.set(Timed(), due, state.now)
    alarm(lambda: handled.append(monotonic()))
    poller.dispatch(state, 0.05)
    assert handled[0] < due <= state.now


@pytest.mark.parametrize("timeout", [None, 30])
def test_what_a_signals_handler_raises_ends_the_wait(poller: Poller, alarm: SetAlarm, timeout: float | None) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    alarm(fail)
    with pytest.raises(ZeroDivisionError):
        _dispatch(poller, timeout)


@pytest.mark.timeout(30)
def test_other_threads_run_while_one_waits(poller: Poller) -> None:
    ours, theirs = socket.socketpair()
    waiting = threading.Event()

    def send() -> None:
        waiting.wait()
        theirs.send(b"x")

    with ours, theirs:
        thread = threading.Thread(target=send)
        thread.start()
        poller.watch(ours.fileno(), READ, Watcher())
        waiting.set()
        _dispatch(poller, None)
        thread.join()


def test_a_closed_poller_watches_nothing(poller: Poller, readable: Readable) -> None:
    handler, descriptor = Watcher(), readable()
    references = sys.getrefcount(handler)
    poller.watch(descriptor, READ, handler)
    poller.close()
    poller.close()
    with pytest.raises(KeyError):
        poller.forget(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        poller.watch(descriptor, READ, handler)
    with pytest.raises(OSError, match="Bad file descriptor"):
        _dispatch(poller)
    assert sys.getrefcount(handler) == references


def test_no_handler_is_held_beyond_its_watch(poller: Poller, readable: Readable) -> None:
    first, second, descriptor = Watcher(), Watcher(), readable()
    references = sys.getrefcount(first)
    poller.watch(descriptor, READ, first)
    _dispatch(poller)
    poller.change(descriptor, READ, second)
    _dispatch(poller)
    poller.unwatch(descriptor)
    poller.watch_exclusive(descriptor, first)
    poller.forget(descriptor)
    assert sys.getrefcount(first) == sys.getrefcount(second) == references


def test_the_collector_finds_what_watches_its_own_poller(readable: Readable) -> None:
    class Owner(Watcher):
        poller: Poller

    assert accelerator is not None
    owner = Owner()
    owner.poller = accelerator.Epoll()
    owner.poller.watch(readable(), READ, owner)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_without_descriptors_there_is_no_poller() -> None:
    assert accelerator is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            accelerator.Epoll()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
