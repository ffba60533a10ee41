"""Counts of connections in the life of a real master: workers that are killed, reloads, and another binary."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.mail.cases import IMAP
from tests.process.conftest import Install
from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer
from tests.support.peer import Peer
from tests.support.process import Mailworker, configuration

ZONE = "limit_conn_zone $remote_user zone=user:1m; limit_conn user 4;"
CROWDED = b"a1 NO [UNAVAILABLE] Too many connections\r\n"


class House:
    """Two workers, and users that log in."""

    def __init__(self, install: Install, port: int) -> None:
        self.backend = ScriptedServer(IMAP.script())
        self.auth = AuthService(accepted(self.backend.address))
        self._port = port
        self._clients: list[Peer] = []
        self.mailworker: Mailworker = install(self.configuration())
        self.mailworker.start()
        self.workers = self.mailworker.await_workers(2)

    def configuration(self, main: str = "worker_processes 2;", mail: str = ZONE, events: str = "") -> str:
        return configuration(self._port, main=main, events=events, mail=f"auth_http {self.auth.address}; {mail}")

    def log_in(self) -> bytes:
        """What a client hears that stays if it may."""
        client = Peer.connect(("127.0.0.1", self._port))
        self._clients.append(client)
        client.line()
        client.send(IMAP.login)
        return client.line()

    def fill(self) -> None:
        """Log in as often as there may be, and once more."""
        assert [self.log_in() for _ in range(5)] == [*[IMAP.answer] * 4, CROWDED]

    def kill(self) -> None:
        """Kill the first workers; one that has no client may be gone already."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    def leave(self) -> None:
        """All clients go."""
        for client in self._clients:
            client.end()
            client.rest()
            client.close()
        self._clients.clear()

    def can_fill_again(self) -> None:
        """Wait until so many can log in as there may be, and find that it is not one more."""
        answers: list[bytes] = []

        def is_free() -> bool:
            answers.append(self.log_in())
            return answers.count(IMAP.answer) == 4

        self.mailworker.await_true(is_free, "four connections")
        assert self.log_in() == CROWDED

    def end(self) -> None:
        for client in self._clients:
            client.close()
        self.mailworker.stop()
        self.auth.stop()
        self.backend.stop()


@pytest.fixture
def house(install: Install, port: int) -> Iterator[House]:
    house = House(install, port)
    yield house
    house.end()


def test_a_killed_worker_s_sessions_count_no_more(house: House) -> None:
    """nginx 1.22 keeps the user out for ever."""
    house.mailworker.alerts.append("exited on signal 9")
    house.fill()
    house.kill()
    house.mailworker.await_workers(2, without=house.workers)
    house.can_fill_again()


def test_counts_are_right_over_a_reload_with_other_workers(house: House) -> None:
    house.fill()
    house.mailworker.configure(house.configuration("worker_processes 3;", events="worker_connections 100;"))
    house.mailworker.signal(signal.SIGHUP)
    house.mailworker.await_line("gracefully shutting down", 2)
    assert house.log_in() == CROWDED
    house.leave()
    house.can_fill_again()
    house.leave()
    house.can_fill_again()


def test_a_worker_of_a_former_cycle_that_is_killed_counts_no_more(house: House) -> None:
    house.mailworker.alerts.append("exited on signal 9")
    house.fill()
    house.mailworker.configure(house.configuration("worker_processes 1;"))
    house.mailworker.signal(signal.SIGHUP)
    house.mailworker.await_line("gracefully shutting down", 2)
    assert house.log_in() == CROWDED
    house.kill()
    house.can_fill_again()


@pytest.mark.parametrize("killed", [False, True])
def test_counts_are_right_with_another_binary(house: House, killed: bool) -> None:
    house.mailworker.alerts.append("exited on signal 9")
    house.fill()
    old, _ = house.mailworker.upgrade()
    os.kill(old, signal.SIGQUIT)
    house.mailworker.await_line("gracefully shutting down", 2)
    assert house.log_in() == CROWDED
    if killed:
        house.kill()
    else:
        house.leave()
    house.can_fill_again()


def test_a_reload_with_another_key_is_refused(house: House) -> None:
    house.fill()
    house.mailworker.configure(house.configuration(mail=ZONE.replace("$remote_user", "$remote_addr")))
    house.mailworker.signal(signal.SIGHUP)
    house.mailworker.await_line(
        r'limit_conn_zone "user" uses the "\$remote_addr" key while previously it used the "\$remote_user" key'
    )
    assert house.log_in() == CROWDED
