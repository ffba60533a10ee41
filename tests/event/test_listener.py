from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest

from mailworker.config.events import EventsSettings
from mailworker.errors import StartError
from mailworker.event import sockets
from mailworker.event.listener import Listener, OnAccept, check_accepting
from mailworker.event.loop import Loop
from mailworker.event.sockets import hand_on
from mailworker.model import Address, InetAddress
from tests.event.bench import Bench, Watcher, no_more_descriptors, watch


class _Door:
    """What a listener is given: accepts into `connections`, stops the loop at `wanted` of them."""

    def __init__(self, loop: Loop, wanted: int = 1) -> None:
        self._loop = loop
        self._wanted = wanted
        self.connections: list[socket.socket] = []
        self.addresses: list[Address] = []
        self.failures: list[int | None] = []

    def accepted(self, descriptor: int, address: Address) -> None:
        self.connections.append(socket.socket(fileno=descriptor))
        self.addresses.append(address)
        if len(self.connections) == self._wanted:
            self._loop.stop()

    def failed(self, error: OSError) -> None:
        self.failures.append(error.errno)

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class _FailingAccept:
    """Stands in for hand_on: the first calls fail."""

    def __init__(self, *failures: int) -> None:
        self._failures = list(failures)
        self.calls = 0

    def __call__(self, listening: int, accepted: Callable[[int, Address], None]) -> int:
        self.calls += 1
        return -self._failures.pop(0) if self._failures else hand_on(listening, accepted)


def _listener(
    bench: Bench,
    listening: socket.socket,
    accepted: OnAccept,
    failed: Callable[[OSError], None],
    events: EventsSettings,
) -> Listener:
    return Listener(bench.loop, listening.fileno(), lambda _: accepted, failed, events)


@pytest.fixture
def door(bench: Bench, resources: ExitStack) -> Callable[[int], _Door]:
    def make(wanted: int) -> _Door:
        door = _Door(bench.loop, wanted)
        resources.callback(door.close)
        return door

    return make


@pytest.fixture
def connect(listening: socket.socket, resources: ExitStack) -> Callable[[], socket.socket]:
    return lambda: resources.enter_context(socket.create_connection(listening.getsockname()))


@pytest.fixture
def fail_accept(monkeypatch: pytest.MonkeyPatch) -> FailAccept:
    def fail(*failures: int) -> _FailingAccept:
        failing = _FailingAccept(*failures)
        monkeypatch.setattr("mailworker.event.listener.sockets.hand_on", failing)
        return failing

    return fail


Connect = Callable[[], socket.socket]
FailAccept = Callable[..., _FailingAccept]
MakeDoor = Callable[[int], _Door]


def test_a_connection_comes_with_its_address_and_never_blocks(
    bench: Bench, listening: socket.socket, connect: Connect, door: MakeDoor, events: EventsSettings
) -> None:
    it = door(1)
    client = connect()
    _listener(bench, listening, it.accepted, it.failed, events).open()
    bench.loop.run()
    assert it.addresses == [InetAddress(*client.getsockname())]
    with pytest.raises(BlockingIOError):
        it.connections[0].recv(1)
    assert not it.failures


@pytest.mark.parametrize(("multi_accept", "rounds"), [(False, 3), (True, 1)])
def test_multi_accept_takes_all_that_wait_in_one_round(
    bench: Bench,
    listening: socket.socket,
    connect: Connect,
    door: MakeDoor,
    events: EventsSettings,
    multi_accept: bool,
    rounds: int,
) -> None:
    it = door(3)
    for _ in range(3):
        connect()
    _listener(bench, listening, it.accepted, it.failed, replace(events, multi_accept=multi_accept)).open()
    bench.loop.run()
    assert len(it.connections) == 3
    assert bench.poller.rounds == rounds
    assert not it.failures


@pytest.mark.parametrize(("most", "accepted"), [(0, 0), (2, 2), (9, 3)])
def test_draining_takes_those_who_wait(
    bench: Bench,
    listening: socket.socket,
    connect: Connect,
    door: MakeDoor,
    events: EventsSettings,
    most: int,
    accepted: int,
) -> None:
    it = door(0)
    listener = _listener(bench, listening, it.accepted, it.failed, events)
    listener.open()
    for _ in range(3):
        connect()
    listener.drain(most)
    listener.close()
    assert len(it.connections) == accepted
    assert not it.failures


def test_the_function_that_gets_connections_is_made_when_the_first_has_come_and_again_when_told(
    bench: Bench, listening: socket.socket, connect: Connect, door: MakeDoor, events: EventsSettings
) -> None:
    it, descriptor = door(0), listening.fileno()
    made: list[int] = []

    def receive(of: int) -> OnAccept:
        made.append(of)
        return it.accepted

    listener = Listener(bench.loop, descriptor, receive, it.failed, events)
    listener.open()
    listener.drain(1)
    assert not made
    for many, anew in ((1, False), (1, False), (2, True)):
        if anew:
            listener.receive_anew()
        connect()
        listener.drain(1)
        assert made == [descriptor] * many
    assert len(it.connections) == 3
    listener.close()


def test_a_closed_listener_accepts_nothing_and_leaves_the_socket_open(
    bench: Bench, listening: socket.socket, connect: Connect, door: MakeDoor, events: EventsSettings
) -> None:
    it = door(1)
    listener = _listener(bench, listening, it.accepted, it.failed, events)
    listener.open()
    listener.close()
    listener.close()
    connect()
    bench.loop.set_deadline(bench.alarm(bench.loop.stop), bench.loop.now + 0.02)
    bench.loop.run()
    assert not it.connections
    listening.accept()[0].close()


def test_a_listener_that_is_closed_by_what_it_accepts_accepts_no_more(
    bench: Bench, listening: socket.socket, connect: Connect, door: MakeDoor, events: EventsSettings
) -> None:
    it = door(1)

    def accepted(descriptor: int, address: Address) -> None:
        it.accepted(descriptor, address)
        listener.close()

    listener = _listener(bench, listening, accepted, it.failed, replace(events, multi_accept=True))
    for _ in range(2):
        connect()
    listener.open()
    bench.loop.run()
    assert len(it.connections) == 1


@pytest.mark.parametrize("close_socket", [False, True], ids=["the socket stays open", "the socket is closed too"])
def test_a_listener_that_is_closed_in_the_round_of_its_event_does_nothing(
    bench: Bench,
    resources: ExitStack,
    listening: socket.socket,
    connect: Connect,
    door: MakeDoor,
    events: EventsSettings,
    close_socket: bool,
) -> None:
    """As a signal to shut down does that comes together with a connection, whichever is served first."""
    it = door(0)
    listener = _listener(bench, listening, it.accepted, it.failed, events)

    def shut_down() -> None:
        listener.close()
        if close_socket:
            listening.close()
        # Beyond the time in which a listener would come back after a pause.
        bench.loop.set_deadline(bench.alarm(bench.loop.stop), bench.loop.now + 2 * events.accept_mutex_delay)
        for other in watched:
            bench.loop.unwatch(other.fileno())
        watched.clear()

    watched: list[socket.socket] = []
    signal, sender = socket.socketpair()
    resources.enter_context(signal)
    resources.enter_context(sender)
    sender.send(b"x")
    watched.append(signal)
    watch(bench.loop, signal, Watcher(shut_down))
    listener.open()
    connect()
    bench.loop.run()
    assert not it.failures
    assert len(it.connections) <= 1
    listener.ready(1)
    assert not it.failures


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EINTR])
def test_a_peer_that_went_away_is_no_failure(
    bench: Bench,
    listening: socket.socket,
    connect: Connect,
    door: MakeDoor,
    events: EventsSettings,
    fail_accept: FailAccept,
    number: int,
) -> None:
    it = door(1)
    connect()
    fail_accept(number)
    _listener(bench, listening, it.accepted, it.failed, events).open()
    bench.loop.run()
    assert len(it.connections) == 1
    assert not it.failures


def test_another_process_that_was_faster_is_no_failure(
    bench: Bench,
    listening: socket.socket,
    connect: Connect,
    door: MakeDoor,
    events: EventsSettings,
    fail_accept: FailAccept,
) -> None:
    it = door(1)
    connect()
    fail_accept(errno.EAGAIN)
    _listener(bench, listening, it.accepted, it.failed, events).open()
    bench.loop.run()
    assert len(it.connections) == 1
    assert not it.failures


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
@pytest.mark.parametrize("multi_accept", [False, True])
def test_want_of_resources_pauses_and_is_told_once_a_pause(
    bench: Bench,
    listening: socket.socket,
    connect: Connect,
    door: MakeDoor,
    events: EventsSettings,
    fail_accept: FailAccept,
    number: int,
    multi_accept: bool,
) -> None:
    it = door(1)
    connect()
    failing = fail_accept(number, number)
    begin = bench.loop.now
    _listener(bench, listening, it.accepted, it.failed, replace(events, multi_accept=multi_accept)).open()
    bench.loop.run()
    assert it.failures == [number, number]
    assert len(it.connections) == 1
    assert failing.calls == 3 + multi_accept
    assert bench.loop.now >= begin + 2 * events.accept_mutex_delay


def test_without_descriptors_the_loop_rests(
    bench: Bench, listening: socket.socket, connect: Connect, door: MakeDoor, events: EventsSettings
) -> None:
    it = door(1)
    connect()
    with ExitStack() as stack:
        stack.enter_context(no_more_descriptors())
        _listener(bench, listening, it.accepted, it.failed, events).open()
        bench.loop.set_deadline(bench.alarm(stack.close), bench.loop.now + 2.5 * events.accept_mutex_delay)
        bench.loop.run()
    assert set(it.failures) == {errno.EMFILE}
    assert 1 <= len(it.failures) <= 4
    assert len(it.connections) == 1
    assert bench.poller.rounds <= 12


def test_a_listener_that_is_closed_during_its_pause_stays_closed(
    bench: Bench,
    listening: socket.socket,
    connect: Connect,
    door: MakeDoor,
    events: EventsSettings,
    fail_accept: FailAccept,
) -> None:
    it = door(1)
    connect()
    fail_accept(errno.EMFILE)

    def failed(error: OSError) -> None:
        it.failed(error)
        listener.close()

    listener = _listener(bench, listening, it.accepted, failed, events)
    listener.open()
    bench.loop.set_deadline(bench.alarm(bench.loop.stop), bench.loop.now + 2 * events.accept_mutex_delay)
    bench.loop.run()
    assert it.failures == [errno.EMFILE]
    assert not it.connections


def test_a_refused_registration_after_a_pause_is_another_pause(
    bench: Bench,
    listening: socket.socket,
    connect: Connect,
    door: MakeDoor,
    events: EventsSettings,
    fail_accept: FailAccept,
) -> None:
    it = door(1)
    connect()
    fail_accept(errno.EMFILE)

    def failed(error: OSError) -> None:
        it.failed(error)
        bench.poller.refusal = OSError(errno.ENOSPC, "No space left on device") if len(it.failures) < 3 else None

    _listener(bench, listening, it.accepted, failed, events).open()
    bench.loop.run()
    assert it.failures == [errno.EMFILE, errno.ENOSPC, errno.ENOSPC]
    assert len(it.connections) == 1


def test_whoever_may_accept_nothing_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_accepting()
    monkeypatch.setattr(sockets, "hand_on", lambda listening, accepted: -errno.ENOSYS)
    with pytest.raises(StartError, match=r"^accept\(\) failed \(38: Function not implemented\)$"):
        check_accepting()


@pytest.mark.parametrize(("number", "kind"), [(errno.EMFILE, StartError), (errno.ENFILE, OSError)])
def test_only_a_lack_of_descriptors_that_lasts_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("mailworker.event.listener.socket.socket", refuse)
    with pytest.raises(kind, match="Too many open files"):
        check_accepting()
