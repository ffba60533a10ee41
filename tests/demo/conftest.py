"""The demo's backends on ports of the kernel's choice, served by twisted's reactor in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet import reactor as twisted_reactor
from twisted.internet.threads import blockingCallFromThread

from mailworker.demo.mailbox import Mailbox, sample_mailbox
from tests.support.patience import PATIENCE

Serve = Callable[[object], int]


@pytest.fixture(scope="session")
def reactor() -> Iterator[Any]:
    """The one reactor of the process, running; a reactor cannot be started a second time."""
    running: Any = twisted_reactor
    started = threading.Event()
    running.callWhenRunning(started.set)
    thread = threading.Thread(target=running.run, kwargs={"installSignalHandlers": False})
    thread.start()
    assert started.wait(PATIENCE)
    yield running
    running.callFromThread(running.stop)
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.fixture
def serve(reactor: Any) -> Iterator[Serve]:
    """Serves a factory on 127.0.0.1 until the test ends; returns its port."""
    ports = []

    def listen(factory: object) -> int:
        port = blockingCallFromThread(reactor, reactor.listenTCP, 0, factory, interface="127.0.0.1")
        ports.append(port)
        number: int = port.getHost().port
        return number

    yield listen
    for port in ports:
        blockingCallFromThread(reactor, port.stopListening)


@pytest.fixture
def mailbox() -> Mailbox:
    return sample_mailbox()
