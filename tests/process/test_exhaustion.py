"""No descriptors, no connections left: the worker waits for better times, on the real binary."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.process.conftest import Install
from tests.support.patience import PATIENCE
from tests.support.process import GREETING, Mailworker, configuration, greeting

SPAN = 1.0  # seconds that are watched
LIMIT = 0.2  # of a processor; a busy loop takes all of it


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(clients: ExitStack, port: int) -> socket.socket:
    return clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))


def used_processor(mailworker: Mailworker) -> float:
    """The share of a processor that the only worker takes while nothing happens."""
    (worker,) = mailworker.workers()
    return float(worker.cpu_percent(SPAN)) / 100


def test_without_descriptors_a_worker_rests_and_then_resumes(install: Install, port: int, clients: ExitStack) -> None:
    mailworker = install(configuration(port, main="worker_rlimit_nofile 30;"))
    mailworker.start()
    mailworker.await_workers(1)
    accepted = []
    while not mailworker.error_log.exists() or not mailworker.lines(r"accept4\(\) failed"):
        accepted.append(connect(clients, port))
        assert len(accepted) < 40
        mailworker.await_true(
            lambda: (
                len(mailworker.lines("connected to")) >= len(accepted) or bool(mailworker.lines(r"accept4\(\) failed"))
            ),
            "the connection's line",
        )
    assert used_processor(mailworker) < LIMIT
    assert len(mailworker.lines(r"\[crit\] .*: accept4\(\) failed \(24: Too many open files\)$")) == 1
    waiting = accepted.pop()
    accepted[0].close()
    assert waiting.recv(100) == GREETING
    assert len(mailworker.lines(r"accept4\(\) failed")) == 1
    for client in accepted:
        client.close()
    assert greeting(port) == GREETING


def test_beyond_worker_connections_clients_are_turned_away_at_once(
    install: Install, port: int, clients: ExitStack
) -> None:
    mailworker = install(configuration(port, events="worker_connections 6;"))
    mailworker.alerts.append("6 worker_connections are not enough$")
    mailworker.start()
    mailworker.await_workers(1)
    accepted = [connect(clients, port) for _ in range(5)]  # the listener is the sixth
    assert [client.recv(100) for client in accepted] == [GREETING] * 5
    for _ in range(20):
        assert connect(clients, port).recv(100) == b""
    assert used_processor(mailworker) < LIMIT
    assert len(mailworker.lines(r"\[alert\] .*: 6 worker_connections are not enough$")) == 1
    accepted[0].sendall(b"a LOGOUT\r\n")
    assert accepted[0].makefile("rb").read().endswith(b"a OK completed\r\n")
    mailworker.await_true(lambda: greeting(port) == GREETING, "a free place")
    accepted[1].sendall(b"a NOOP\r\n")
    assert accepted[1].recv(100) == b"a OK completed\r\n"


def test_the_processor_is_left_alone_when_nothing_happens(running: Mailworker) -> None:
    assert sum(psutil.Process(worker.pid).cpu_percent(SPAN / 2) for worker in running.workers()) / 100 < LIMIT
