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
from mailworker.event.sockets import hand_on
from mailworker.model import Address, InetAddress
from tests.event.bench import Bench, Watcher, no_more_descriptors, watch
from tests.support.patience import PATIENCE


class Door:
    """A listening socket and its clients: `listener` accepts into `connections`, and stops the loop at `wanted`."""

    def __init__(self, bench: Bench, listening: socket.socket, events: EventsSettings, resources: ExitStack) -> None:
        self._bench = bench
        self._events = events
        self._listening = listening
        self._resources = resources
        self.addresses: list[Address] = []
        self.connections: list[socket.socket] = []
        self.failures: list[int | None] = []
        self.pause = events.accept_mutex_delay
        self.wanted = 1

    def connect(self, many: int = 1) -> socket.socket:
        for _ in range(many):
            client = self._resources.enter_context(socket.create_connection(self._listening.getsockname()))
        return client

    def listener(
        self,
        accepted: OnAccept | None = None,
        failed: Callable[[OSError], None] | None = None,
        *,
        receive: Callable[[int], OnAccept] | None = None,
        multi_accept: bool = False,
    ) -> Listener:
        settings = replace(self._events, multi_accept=multi_accept)
        receive = receive or (lambda _: accepted or self.accepted)
        return Listener(self._bench.loop, self._listening.fileno(), receive, failed or self.failed, settings)

    def accepted(self, descriptor: int, address: Address) -> None:
        self.connections.append(self._resources.enter_context(socket.socket(fileno=descriptor)))
        self.addresses.append(address)
        if len(self.connections) == self.wanted:
            self._bench.loop.stop()

    def failed(self, error: OSError) -> None:
        self.failures.append(error.errno)

    def stop_in(self, seconds: float, then: Callable[[], None] | None = None) -> None:
        """Stop the loop after so many seconds, or call `then`."""
        loop = self._bench.loop
        loop.set_deadline(self._bench.alarm(then or loop.stop), loop.now + seconds)


class _FailingAccept:
    """Stands in for hand_on: the first calls fail."""

    def __init__(self, *failures: int) -> None:
        self._failures = list(failures)
        self.calls = 0

    def __call__(self, listening: int, accepted: Callable[[int, Address], None]) -> int:
        self.calls += 1
        return -self._failures.pop(0) if self._failures else hand_on(listening, accepted)


@pytest.fixture
def door(bench: Bench, listening: socket.socket, events: EventsSettings, resources: ExitStack) -> Door:
    return Door(bench, listening, events, resources)


@pytest.fixture
def fail_accept(monkeypatch: pytest.MonkeyPatch) -> FailAccept:
    def fail(*failures: int) -> _FailingAccept:
        failing = _FailingAccept(*failures)
        monkeypatch.setattr("mailworker.event.listener.sockets.hand_on", failing)
        return failing

    return fail


FailAccept = Callable[..., _FailingAccept]


def test_a_connection_comes_with_its_address_and_never_blocks(bench: Bench, door: Door) -> None:
    client = door.connect()
    door.listener().open()
    bench.loop.run()
    assert door.addresses == [InetAddress(*client.getsockname())]
    with pytest.raises(BlockingIOError):
        door.connections[0].recv(1)
    assert not door.failures


@pytest.mark.parametrize(("multi_accept", "rounds"), [(False, 3), (True, 1)])
def test_multi_accept_takes_all_that_wait_in_one_round(
    bench: Bench, door: Door, multi_accept: bool, rounds: int
) -> None:
    door.wanted = 3
    door.connect(3)
    door.listener(multi_accept=multi_accept).open()
    bench.loop.run()
    assert len(door.connections) == 3
    assert bench.poller.rounds == rounds
    assert not door.failures


@pytest.mark.parametrize(("most", "accepted"), [(0, 0), (2, 2), (9, 3)])
def test_draining_takes_those_who_wait(door: Door, most: int, accepted: int) -> None:
    listener = door.listener()
    listener.open()
    door.connect(3)
    listener.drain(most)
    listener.close()
    assert len(door.connections) == accepted
    assert not door.failures


def test_the_function_that_gets_connections_is_made_when_the_first_has_come_and_again_when_told(
    listening: socket.socket, door: Door
) -> None:
    descriptor = listening.fileno()
    made: list[int] = []

    def receive(of: int) -> OnAccept:
        made.append(of)
        return door.accepted

    listener = door.listener(receive=receive)
    listener.open()
    listener.drain(1)
    assert not made
    for many, anew in ((1, False), (1, False), (2, True)):
        if anew:
            listener.receive_anew()
        door.connect()
        listener.drain(1)
        assert made == [descriptor] * many
    assert len(door.connections) == 3
    listener.close()


def test_a_closed_listener_accepts_nothing_and_leaves_the_socket_open(
    bench: Bench, listening: socket.socket, door: Door
) -> None:
    listener = door.listener()
    listener.open()
    listener.close()
    listener.close()
    door.connect()
    door.stop_in(0.02)
    bench.loop.run()
    assert not door.connections
    listening.accept()[0].close()


def test_a_listener_that_is_closed_by_what_it_accepts_accepts_no_more(bench: Bench, door: Door) -> None:
    def accepted(descriptor: int, address: Address) -> None:
        door.accepted(descriptor, address)
        listener.close()

    listener = door.listener(accepted, multi_accept=True)
    door.connect(2)
    listener.open()
    bench.loop.run()
    assert len(door.connections) == 1


@pytest.mark.parametrize("close_socket", [False, True], ids=["the socket stays open", "the socket is closed too"])
def test_a_listener_that_is_closed_in_the_round_of_its_event_does_nothing(
    bench: Bench, resources: ExitStack, listening: socket.socket, door: Door, close_socket: bool
) -> None:
    """As a signal to shut down does that comes together with a connection, whichever is served first."""
    door.wanted = 0
    listener = door.listener()

    def shut_down() -> None:
        listener.close()
        if close_socket:
            listening.close()
        door.stop_in(2 * door.pause)  # when a listener would have come back after a pause
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
    door.connect()
    bench.loop.run()
    assert not door.failures
    assert len(door.connections) <= 1
    listener.ready(1)
    assert not door.failures


@pytest.mark.parametrize(
    "number", [errno.ECONNABORTED, errno.EPROTO, errno.EINTR, pytest.param(errno.EAGAIN, id="another process took it")]
)
def test_a_peer_that_went_away_and_a_faster_process_are_no_failures(
    bench: Bench, door: Door, fail_accept: FailAccept, number: int
) -> None:
    door.connect()
    fail_accept(number)
    door.listener().open()
    bench.loop.run()
    assert len(door.connections) == 1
    assert not door.failures


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
@pytest.mark.parametrize("multi_accept", [False, True])
def test_want_of_resources_pauses_and_is_told_once_a_pause(
    bench: Bench, door: Door, fail_accept: FailAccept, number: int, multi_accept: bool
) -> None:
    door.connect()
    failing = fail_accept(number, number)
    begin = bench.loop.now
    door.listener(multi_accept=multi_accept).open()
    bench.loop.run()
    assert door.failures == [number, number]
    assert len(door.connections) == 1
    assert failing.calls == 3 + multi_accept
    assert bench.loop.now >= begin + 2 * door.pause


def test_without_descriptors_the_loop_rests(bench: Bench, door: Door) -> None:
    door.connect()
    with ExitStack() as stack:
        stack.enter_context(no_more_descriptors())
        door.listener().open()
        door.stop_in(2.5 * door.pause, stack.close)
        bench.loop.run()
    assert set(door.failures) == {errno.EMFILE}
    assert 1 <= len(door.failures) <= 4
    assert len(door.connections) == 1
    assert bench.poller.rounds <= 12


def test_a_listener_that_is_closed_during_its_pause_stays_closed(
    bench: Bench, door: Door, fail_accept: FailAccept
) -> None:
    door.connect()
    fail_accept(errno.EMFILE)

    def failed(error: OSError) -> None:
        door.failed(error)
        listener.close()

    listener = door.listener(failed=failed)
    listener.open()
    door.stop_in(2 * door.pause)
    bench.loop.run()
    assert door.failures == [errno.EMFILE]
    assert not door.connections


def test_a_refused_registration_after_a_pause_is_another_pause(
    bench: Bench, door: Door, fail_accept: FailAccept
) -> None:
    door.connect()
    fail_accept(errno.EMFILE)

    def failed(error: OSError) -> None:
        door.failed(error)
        bench.poller.refusal = OSError(errno.ENOSPC, "No space left on device") if len(door.failures) < 3 else None

    door.listener(failed=failed).open()
    bench.loop.run()
    assert door.failures == [errno.EMFILE, errno.ENOSPC, errno.ENOSPC]
    assert len(door.connections) == 1


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


def test_a_client_whom_nothing_can_receive_is_disconnected(
    bench: Bench, listening: socket.socket, events: EventsSettings
) -> None:
    def lack(_listening: int) -> OnAccept:
        raise MemoryError

    listener = Listener(bench.loop, listening.fileno(), lack, print, events)
    listener.open()
    with socket.create_connection(listening.getsockname(), PATIENCE) as client:
        with pytest.raises(MemoryError):
            listener.ready(1)
        assert client.recv(1) == b""
    listener.close()
