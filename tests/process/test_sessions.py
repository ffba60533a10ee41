"""The session table and the end of sessions, on the real binary: tests/process/kicked.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mailworker.shm.session_row import State
from tests.process.kicked import Kicked, is_alive
from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer, conversation, echo
from tests.support.peer import Peer
from tests.support.process import GREETING, configuration, established, title

LOGIN = b"a1 LOGIN jane@example.com secret\r\n"
OK = b"a1 OK Logged in\r\n"


@pytest.fixture
def backend() -> Iterator[ScriptedServer]:
    script = conversation(b"* OK backend\r\n", b"+ go\r\n", b"+ go\r\n", OK, then=echo)
    server = ScriptedServer(script)
    yield server
    server.stop()


@pytest.fixture
def proxy(folder: Path, port: int, backend: ScriptedServer) -> Iterator[Kicked]:
    service = AuthService(accepted(backend.address))
    text = configuration(
        port,
        main=f"worker_processes 2; session_table {Kicked.ROWS};",
        mail="access_log logs/access.log combined;",
        server=f"auth_http {service.address}/;",
    )
    kicked = Kicked(folder, text)
    kicked.start()
    kicked.await_workers(2)
    yield kicked
    kicked.stop()
    service.stop()


def connect(port: int) -> Peer:
    client = Peer.connect(("127.0.0.1", port))
    client.expect(GREETING)
    return client


def log_in(port: int) -> Peer:
    client = connect(port)
    client.talk((LOGIN, OK))
    return client


def test_exactly_the_chosen_sessions_end(proxy: Kicked, port: int) -> None:
    before, inside = [connect(port) for _ in range(6)], [log_in(port) for _ in range(6)]
    rows = proxy.await_rows(12)
    by_port = {row.client_port: row for row in rows}
    assert len({row.worker for row in rows}) <= 2
    chosen = [*before[:3], *inside[:3]]
    assert [by_port[client.address[1]].state for client in chosen] == [State.LOGIN] * 3 + [State.RELAY] * 3
    proxy.kick([by_port[client.address[1]] for client in chosen])
    for client in chosen:
        assert not client.rest()
    assert {row.client_port for row in proxy.await_rows(6)} == {
        client.address[1] for client in (*before[3:], *inside[3:])
    }
    assert all(map(is_alive, (*before[3:], *inside[3:])))
    assert len(proxy.lines("kicked by a test while")) == 6
    for client in (*before, *inside):
        client.close()
    proxy.await_rows(0)


def test_sessions_of_a_killed_worker_are_gone_from_the_table(proxy: Kicked, port: int) -> None:
    proxy.alerts.append("exited on signal 9")
    clients = [log_in(port) for _ in range(8)]
    rows = proxy.await_rows(8)
    served = {worker: set(established(worker, port)) for worker in proxy.await_workers(2)}
    victim = max(served, key=lambda worker: len(served[worker]))  # one worker may have taken all of them
    os.kill(victim, signal.SIGKILL)
    left = proxy.await_rows(8 - len(served[victim]))
    assert {row.id for row in left} == {row.id for row in rows if row.client_port not in served[victim]}
    for client in clients:
        client.close()
    proxy.await_rows(0)


def test_workers_of_a_former_cycle_have_their_sessions_listed_and_ended(proxy: Kicked, port: int) -> None:
    old = log_in(port)
    (row,) = proxy.await_rows(1)
    proxy.signal(signal.SIGHUP)
    proxy.await_line("gracefully shutting down$", 2)
    new = log_in(port)
    rows = proxy.await_rows(2)
    assert row.id in {each.id for each in rows}
    assert len({each.worker for each in rows}) == 2
    proxy.kick([each for each in rows if each.id == row.id])
    assert not old.rest()
    old.close()
    assert is_alive(new)
    new.close()
    proxy.await_rows(0)


def test_the_sessions_of_many_former_cycles_are_all_listed(proxy: Kicked, port: int) -> None:
    """After some reloads, each of which left a worker with a client, sessions of new workers were missing."""
    proxy.configure((proxy.folder / "conf" / "mailworker.conf").read_text().replace("processes 2", "processes 1"))
    clients = list[Peer]()

    def serving() -> set[int]:
        return {worker.pid for worker in proxy.workers() if title(worker) == "mailworker: worker process"}

    def only_others(before: set[int]) -> bool:
        return len(serving()) == 1 and not serving() & before

    for _ in range(14):
        before = serving()
        proxy.signal(signal.SIGHUP)
        proxy.await_true(partial(only_others, before), "the next cycle")
        clients.append(connect(port))
    rows = proxy.await_rows(14)
    assert len({row.worker for row in rows}) == 14
    proxy.kick(rows)
    for client in clients:
        assert not client.rest()
        client.close()


def test_a_reload_with_another_server_reads_the_former_table_too(proxy: Kicked, port: int) -> None:
    old = log_in(port)
    (row,) = proxy.await_rows(1)
    text = (proxy.folder / "conf" / "mailworker.conf").read_text()
    proxy.configure(text.replace("server { listen", "server { status_zone other; listen"))
    proxy.signal(signal.SIGHUP)
    proxy.await_line("gracefully shutting down$", 2)
    new = log_in(port)
    assert row.id in {each.id for each in proxy.await_rows(2)}
    proxy.kick([row])
    assert not old.rest()
    old.close()
    new.close()
    proxy.await_rows(0)


def test_another_binary_lists_what_the_old_one_has(proxy: Kicked, port: int) -> None:
    old = log_in(port)
    (row,) = proxy.await_rows(1)
    first, second = proxy.upgrade()
    proxy.await_workers(2, master=second)
    assert [each.id for each in proxy.table(second)] == [row.id]
    os.kill(first, signal.SIGQUIT)
    assert is_alive(old)
    new = log_in(port)
    assert {each.id for each in proxy.await_rows(2, second)} > {row.id}
    old.close()
    new.close()
    proxy.await_rows(0, second)
