"""A server of the status process whose loop runs in a thread, and its clients."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from mailworker.event.loop import Loop
from mailworker.event.poller import READ
from mailworker.process.system.callbacks import Alarm, Watch
from mailworker.status.server import Server
from tests.support.patience import PATIENCE
from tests.support.settings import configuration

# Seconds that a server may wait for clients that say nothing, at its end.
LONGEST_END = 5.0


class Served:
    """Serves on `listening`; `make` gets the loop and what takes bugs. `displaced` leaves clients to others."""

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[Loop, Callable[[BaseException], None]], Server[Any]],
        *,
        readonly: bool = False,
    ) -> None:
        self.bugs: list[BaseException] = []
        self.listening = listening
        self.listening.setblocking(False)
        self.displaced = threading.Event()
        self.loop = Loop(self.bugs.append)
        self.server = make(self.loop, self.bugs.append)
        sockets = [(self.listening, readonly)]
        self.server.open(sockets, configuration().events, lambda error: None, self.displaced.is_set)
        self.done = threading.Event()
        self.waker, self.woken = socket.socketpair()
        self.loop.watch(self.woken.fileno(), READ, Watch(lambda: self.loop.forget(self.woken.fileno())))
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def connect(self) -> socket.socket:
        client = socket.socket(self.listening.family)
        client.settimeout(PATIENCE)
        client.connect(self.listening.getsockname())
        return client

    def close(self) -> None:
        self.loop.set_deadline(Alarm(lambda: self.server.close(self.finish)), self.loop.now)
        self.waker.close()
        assert self.done.wait(PATIENCE + LONGEST_END)
        self.thread.join(PATIENCE)
        self.loop.close()
        self.woken.close()
        self.listening.close()

    def finish(self) -> None:
        self.done.set()
        self.loop.stop()


def rest(client: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    data = b""
    while chunk := client.recv(1 << 16):
        data += chunk
    return data
