"""A loop to try things on: it runs until the coroutines given to it have ended."""

from __future__ import annotations

import resource
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from mailworker.errors import Party
from mailworker.event.loop import Loop, LoopState
from mailworker.event.poller import READ, Handler, Poller
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task
from mailworker.event.timers import Timed
from tests.support.implementations import NATIVE, Implementation
from tests.support.patience import PATIENCE
from tests.support.peer import Peer

# Seconds after which a test that hangs fails.
_LIMIT = PATIENCE


class CountingPoller:
    """Counts the rounds of a loop and its registrations, and refuses to register while `refusal` is set."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self.method = poller.method
        self.rounds = self.registrations = 0
        self.refusal: OSError | None = None
        self.watched: dict[int, Handler] = {}

    def watch(self, descriptor: int, events: int, handler: Handler, /) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.registrations += 1
        self._poller.watch(descriptor, events, handler)
        self.watched[descriptor] = handler

    def watch_exclusive(self, descriptor: int, handler: Handler, /) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.registrations += 1
        self._poller.watch_exclusive(descriptor, handler)
        self.watched[descriptor] = handler

    def change(self, descriptor: int, events: int, handler: Handler, /) -> None:
        self.registrations += 1
        self._poller.change(descriptor, events, handler)
        self.watched[descriptor] = handler

    def unwatch(self, descriptor: int, /) -> None:
        self._poller.unwatch(descriptor)
        del self.watched[descriptor]

    def forget(self, descriptor: int, /) -> None:
        self._poller.forget(descriptor)
        del self.watched[descriptor]

    def dispatch(self, loop: LoopState, timeout: float | None, /) -> None:
        self.rounds += 1
        loop.urgent = True  # it may not wait again by itself: that would not be counted
        self._poller.dispatch(loop, timeout)

    def close(self) -> None:
        self._poller.close()


class Bench:
    """`loop` lives for one `run`. `bugs` is what `on_bug` was told and nobody took; the fixture refuses any.

    `closed` is how many of its streams were closed.

    What it makes is of one implementation of the event core.
    """

    def __init__(self, poller: Poller, implementation: Implementation = NATIVE) -> None:
        self.implementation = implementation
        self.poller = CountingPoller(poller)
        self.bugs: list[Exception] = []
        self.loop: Loop = implementation.loop.Loop(self.bugs.append, self.poller)
        self.closed = 0
        self._running = 0
        self._streams: list[SocketStream] = []

    def alarm(self, action: Callable[[], None]) -> Timed:
        """Calls `action` when its deadline has passed."""
        alarm: Timed = _alarms(self.implementation)(action)
        return alarm

    def stream(self, connected: socket.socket, party: Party = Party.CLIENT) -> SocketStream:
        """A stream that takes the descriptor from `connected`."""
        connected.setblocking(False)
        stream: SocketStream = self.implementation.stream.SocketStream(
            self.loop, connected.detach(), party, self._count_closed
        )
        self._streams.append(stream)
        return stream

    def task(self, coroutine: Coroutine[Any, None, None]) -> Task:
        """A task that `run` waits for; it is not started yet."""
        self._running += 1
        task: Task = self.implementation.task.Task(self.loop, self._stop_at_end(coroutine))
        return task

    def start(self, coroutine: Coroutine[Any, None, None]) -> Task:
        task = self.task(coroutine)
        task.resume()
        return task

    def run(self, *coroutines: Coroutine[Any, None, None]) -> None:
        """Start tasks in their order, and serve until these and all others have ended."""
        for coroutine in coroutines:
            self.start(coroutine)
        guard = self.alarm(_fail)
        self.loop.set_deadline(guard, self.loop.now + _LIMIT)
        if self._running:
            self.loop.run()
        self.loop.cancel_deadline(guard)

    def take_bugs(self) -> list[Exception]:
        """The bugs that a test expects."""
        bugs = [*self.bugs]
        self.bugs.clear()
        return bugs

    def close(self) -> None:
        for stream in self._streams:
            stream.close()

    def _count_closed(self) -> None:
        self.closed += 1

    async def _stop_at_end(self, coroutine: Coroutine[Any, None, None]) -> None:
        try:
            await coroutine
        finally:
            self._running -= 1
            if not self._running:
                self.loop.stop()


@cache
def _alarms(implementation: Implementation) -> Any:
    class Alarm(implementation.timers.Timed):  # type: ignore[name-defined, misc]
        def __init__(self, action: Callable[[], None]) -> None:
            super().__init__()
            self._action = action

        def expire(self) -> None:
            self._action()

    return Alarm


class Watcher:
    """A handler that notes what it is called with, and then calls `action`."""

    def __init__(self, action: Callable[[], object] = lambda: None) -> None:
        self._action = action
        self.masks: list[int] = []

    def ready(self, mask: int) -> None:
        self.masks.append(mask)
        self._action()


class Bell:
    """Lets a task wait until another part of the test rings."""

    def __init__(self) -> None:
        self.waiting: Task | None = None

    def park(self, task: Task) -> None:
        self.waiting = task
        task.loop.cancel_deadline(task)

    def timed_out(self) -> None:
        raise AssertionError("without a deadline")

    def ring(self) -> None:
        task, self.waiting = self.waiting, None
        if task is None:
            raise AssertionError("nobody waits")
        task.resume()


@contextmanager
def thread(function: Callable[[], None]) -> Iterator[None]:
    """Run `function` meanwhile; what it raises is raised here in the end."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    running = threading.Thread(target=run)
    running.start()
    try:
        yield
    finally:
        running.join(_LIMIT)
    if failures:
        raise failures[0]
    assert not running.is_alive()


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """From here on this process can open no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def read_all(stream: SocketStream, limit: int = 4096) -> bytes:
    """All that comes until the peer ends its side."""
    received = b""
    while data := await stream.read(limit):
        received += data
    return received


def anonymous_client() -> ssl.SSLContext:
    """A TLS client that trusts anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def secure(connected: socket.socket) -> Peer:
    """Shake hands as the client; blocks, so from a thread."""
    peer = Peer(connected)
    peer.start_tls(anonymous_client())
    return peer


def watch(loop: Loop, connected: socket.socket, handler: Handler) -> None:
    loop.watch(connected.fileno(), READ, handler)


def _fail() -> None:
    raise AssertionError(f"not done within {_LIMIT} seconds")
