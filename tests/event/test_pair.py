"""Both sides of a relay: what they begin with, how long they may be silent, and how they are closed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from mailworker.errors import Party
from mailworker.event.connections import Connections
from mailworker.event.pair import Pair
from tests.event.bench import Bench
from tests.support.implementations import Implementation
from tests.support.patience import PATIENCE

SILENCE, LINGER = 50.0, 20.0

Peers = tuple[socket.socket, socket.socket]


@cache
def _noting(implementation: Implementation) -> Any:
    class Noting(implementation.pair.Pair):  # type: ignore[name-defined, misc]
        """Notes what it is told, and calls `then`."""

        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            self.told: list[str] = []
            self.then: Callable[[], None] = lambda: None

        def time_out(self) -> None:
            self._note("time_out")

        def finish(self) -> None:
            self._note("finish")

        def _note(self, what: str) -> None:
            self.told.append(what)
            self.then()

    return Noting


def _allowing(it: Implementation) -> Any:
    class Allowing(it.pair.Pair):  # type: ignore[misc, name-defined]
        """Allows its sides everything."""

        def allow(self, side: object) -> int:
            return 1 << 20

    return Allowing


class Stage:
    """A pair that has begun, its two peers, and what its connections are counted by."""

    def __init__(self, bench: Bench, resources: ExitStack, words: tuple[bytes, bytes] = (b"", b"")) -> None:
        it = bench.implementation
        self.bench = bench
        self.unused: list[int] = []
        self.connections: Connections = it.connections.Connections(bench.loop, 10, lambda: self.unused.append(1))
        self.pump = it.relay.Pump(bench.loop, 4096)
        resources.callback(self.pump.close)
        self.terms = it.pair.Terms(self.connections, self.pump, self.pump, SILENCE, LINGER)
        self.client, client = self._line(resources, Party.CLIENT)
        self.backend, backend = self._line(resources, Party.BACKEND)
        self.pair: Any = _noting(it)(self.terms, client, words[0], backend, words[1])
        self.pair.begin()
        self.bench.loop.serve_late()
        resources.callback(self.close)

    def _line(self, resources: ExitStack, party: Party) -> tuple[socket.socket, Any]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(PATIENCE)
        self.connections.take()
        return resources.enter_context(theirs), self.connections.stream(ours.detach(), party)

    def close(self) -> None:
        if not self.pair.client.closed:
            self.pair.close()

    def serve(self) -> None:
        """One round of the loop, for what is ready."""
        self.bench.loop.now += 1.0
        self.bench.loop.poller.dispatch(self.bench.loop, 1.0)

    def ask(self) -> None:
        """Let the client send something, for which it awaits a reply."""
        self.client.send(b".")
        self.serve()
        assert self.backend.recv(2) == b"."

    def answer(self) -> None:
        """Let the backend send something; its silence would end the pair."""
        self.backend.send(b".")
        self.serve()
        assert self.client.recv(2) == b"."

    def age(self, seconds: float) -> None:
        self.bench.loop.now += seconds
        self.bench.loop.timers.expire(self.bench.loop.now)


@pytest.fixture
def stage(bench: Bench, resources: ExitStack) -> Stage:
    return Stage(bench, resources)


def test_words_that_came_before_are_passed_on_first(bench: Bench, resources: ExitStack) -> None:
    stage = Stage(bench, resources, (b"client's", b"backend's"))
    assert stage.client.recv(100) == b"backend's"
    assert stage.backend.recv(100) == b"client's"


def test_it_is_overdue_after_silence(stage: Stage) -> None:
    stage.age(SILENCE - 1.0)
    assert stage.pair.told == []
    stage.age(1.1)
    assert stage.pair.told == ["time_out"]


def test_a_word_of_either_moves_the_deadline(stage: Stage) -> None:
    stage.age(SILENCE - 10.0)
    stage.backend.send(b"* OK still here\r\n")
    stage.bench.loop.clock = lambda: stage.bench.loop.now
    stage.bench.loop.poller.dispatch(stage.bench.loop, 1.0)
    assert stage.client.recv(100) == b"* OK still here\r\n"
    stage.age(SILENCE - 1.0)
    assert stage.pair.told == []
    stage.age(2.0)
    assert stage.pair.told == ["time_out"]


@pytest.mark.parametrize("first", ["client", "backend"])
def test_once_one_has_ended_the_other_has_less_time(stage: Stage, first: str) -> None:
    stage.bench.loop.clock = lambda: stage.bench.loop.now
    stage.ask()
    stage.answer()
    ending, other = (stage.client, stage.backend) if first == "client" else (stage.backend, stage.client)
    ending.shutdown(socket.SHUT_WR)
    stage.bench.loop.poller.dispatch(stage.bench.loop, 1.0)
    assert other.recv(100) == b""
    stage.age(LINGER - 1.0)
    assert stage.pair.told == []
    stage.age(1.2)
    assert stage.pair.told == ["time_out"]


def test_both_ends_finish_it(stage: Stage) -> None:
    stage.pair.then = stage.pair.close
    stage.ask()
    for peer in (stage.client, stage.backend):
        peer.shutdown(socket.SHUT_WR)
        stage.serve()
    assert stage.pair.told == ["finish"]
    assert (stage.pair.client.ended, stage.pair.backend.ended) == (1, 2)
    assert stage.connections.in_use == 0
    assert stage.unused == [1]


def test_the_end_of_one_that_awaits_nothing_finishes_it(stage: Stage) -> None:
    stage.pair.then = stage.pair.close
    stage.client.shutdown(socket.SHUT_WR)
    stage.serve()
    assert stage.pair.told == ["finish"]
    assert (stage.pair.client.ended, stage.pair.backend.ended) == (1, 0)
    assert stage.backend.recv(1) == stage.client.recv(1) == b""
    assert stage.unused == [1]


def test_closing_gives_back_all(stage: Stage) -> None:
    descriptors = stage.pair.client.descriptor, stage.pair.backend.descriptor
    stage.pair.close()
    assert stage.pair.client.closed
    assert stage.pair.backend.closed
    assert stage.unused == [1]
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    stage.age(SILENCE + 1.0)
    assert stage.pair.told == []


def test_the_terms_tell_what_they_are(stage: Stage) -> None:
    terms = stage.pair.terms
    assert terms is stage.terms
    assert (terms.silence, terms.linger) == (SILENCE, LINGER)
    assert terms.clients is terms.backends is stage.pump
    assert terms.connections is stage.connections


@pytest.mark.parametrize("watching", [False, True])
@pytest.mark.parametrize("limiting", [False, True])
def test_a_side_is_of_the_kind_that_its_pump_is_for(
    bench: Bench, resources: ExitStack, watching: bool, limiting: bool
) -> None:
    it, stage = bench.implementation, Stage(bench, resources)
    clients = it.relay.Pump(bench.loop, 4096, watching, limiting)
    resources.callback(clients.close)
    terms = it.pair.Terms(stage.connections, clients, stage.pump, SILENCE, LINGER)
    lines = [stage._line(resources, party)[1] for party in (Party.CLIENT, Party.BACKEND)]
    pair: Pair = _allowing(it)(terms, lines[0], b"", lines[1], b"")
    kinds = {(False, False): it.relay.Side, (True, False): it.relay.WatchedSide}
    assert type(pair.client) is kinds.get((watching, limiting), it.relay.LimitedSide)
    assert type(pair.backend) is it.relay.Side
    pair.begin()
    pair.close()
