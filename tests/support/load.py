"""Clients that log in all the time and clients that stay connected, none of which an operator may disturb."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer, conversation, echo
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.peer import Peer

_GREETING = b"+OK POP3 ready\r\n"
# Seconds between two lines of a client that stays, and between two logins.
_PAUSE = 0.02


class Load:
    """POP3 logins one after another and `relays` long-lived sessions on `port`, from `start` to `stop`.

    `failures` are what clients met and should not have met; `logins` and `exchanges` count successes.
    """

    def __init__(self, port: int, *, relays: int = 4) -> None:
        self.failures: list[str] = []
        self.logins = 0
        self.exchanges = 0
        self._port = port
        self._backend = ScriptedServer(conversation(b"+OK ready\r\n", b"+OK\r\n", b"+OK logged in\r\n", then=echo))
        self._auth_service = AuthService(accepted(self._backend.address))
        self._over = threading.Event()
        tasks = [self._log_in_again_and_again, *[self._stay] * relays]
        self._threads = [threading.Thread(target=self._guarded, args=(task,), daemon=True) for task in tasks]

    @property
    def server(self) -> str:
        """Directives for a `server` block that sends its clients to this load."""
        return f"protocol pop3; auth_http {self._auth_service.address}/;"

    def start(self) -> None:
        """Begin, and wait until all clients are at work."""
        for thread in self._threads:
            thread.start()
        self.await_logins(2)

    def await_logins(self, count: int) -> None:
        """Wait until there have been `count` more logins."""
        goal = self.logins + count
        self._await(lambda: self.logins >= goal, f"{count} logins")

    def await_exchanges(self, count: int) -> None:
        """Wait until clients that stay have got `count` more answers."""
        goal = self.exchanges + count
        self._await(lambda: self.exchanges >= goal, f"{count} exchanges")

    def finish(self) -> None:
        """End all sessions in good order."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._auth_service.stop()
        self._backend.stop()

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        try:
            wait_until(condition, what)
        except TimeoutError as error:
            raise AssertionError(f"{error}, but {self.failures}") from None

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except (AssertionError, OSError) as error:
            self.failures.append(f"{task.__name__}: {type(error).__name__}: {error}")

    def _log_in_again_and_again(self) -> None:
        while not self._over.wait(_PAUSE):
            try:
                with self._session() as client:
                    client.talk((b"STAT\r\n", b"STAT\r\n"))
                    client.end()
                    assert client.rest() == b""
            except (AssertionError, OSError) as error:
                self.failures.append(f"login: {type(error).__name__}: {error}")
            else:
                self.logins += 1

    def _stay(self) -> None:
        with self._session() as client:
            while not self._over.wait(_PAUSE):
                client.talk((b"NOOP\r\n", b"NOOP\r\n"))
                self.exchanges += 1

    @contextmanager
    def _session(self) -> Iterator[Peer]:
        with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE) as connected:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Peer(connected)
            client.expect(_GREETING)
            client.talk((b"USER u\r\n", b"+OK\r\n"), (b"PASS p\r\n", b"+OK logged in\r\n"))
            yield client
