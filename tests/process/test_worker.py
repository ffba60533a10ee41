"""A worker's end, and what it holds, on the real binary."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from typing import cast

import psutil
import pytest

from mailworker.event.loop import Loop
from mailworker.log.access import LineSink
from mailworker.mail.service import MailService
from mailworker.process.child_process import FromMaster
from mailworker.process.cycle import Cycle
from mailworker.process.worker import Worker
from mailworker.shm.conn_table import ConnTable
from tests.process.conftest import Install
from tests.support.auth import AuthService, accepted
from tests.support.backend import ScriptedServer, conversation, echo
from tests.support.patience import PATIENCE
from tests.support.peer import Peer
from tests.support.process import GREETING, Mailworker, configuration, greeting, hold, refuses
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration as settings


@pytest.fixture
def backend() -> Iterator[ScriptedServer]:
    server = ScriptedServer(conversation(b"+OK ready\r\n", b"+OK\r\n", b"+OK logged in\r\n", then=echo))
    yield server
    server.stop()


@pytest.fixture
def auth_service(backend: ScriptedServer) -> Iterator[AuthService]:
    service = AuthService(accepted(backend.address))
    yield service
    service.stop()


@pytest.fixture
def relayed(
    request: pytest.FixtureRequest, install: Install, port: int, auth_service: AuthService, backend: ScriptedServer
) -> Iterator[tuple[Mailworker, Peer]]:
    """A worker with one session that is logged in. A parameter is its worker_shutdown_timeout, 2s without one."""
    mailworker = install(
        configuration(
            port,
            main=f"worker_shutdown_timeout {getattr(request, 'param', '2s')};",
            server=f"protocol pop3; auth_http {auth_service.address}/;",
        )
    )
    mailworker.start()
    mailworker.await_workers(1)
    client = Peer.connect(("127.0.0.1", port))
    client.talk((b"", b"+OK POP3 ready\r\n"), (b"USER u\r\n", b"+OK\r\n"), (b"PASS p\r\n", b"+OK logged in\r\n"))
    yield mailworker, client
    client.close()


def test_a_reload_keeps_relays_until_worker_shutdown_timeout(relayed: tuple[Mailworker, Peer]) -> None:
    mailworker, client = relayed
    (old,) = mailworker.await_workers(1)
    mailworker.signal(signal.SIGHUP)
    mailworker.await_line("gracefully shutting down$")
    client.talk((b"STAT\r\n", b"STAT\r\n"))
    assert client.rest() == b""
    mailworker.await_workers(1, without=[old])
    assert mailworker.lines("shutdown timeout")


@pytest.mark.parametrize("relayed", ["0"], indirect=True)
def test_a_worker_shutdown_timeout_of_zero_is_no_limit_as_in_nginx(relayed: tuple[Mailworker, Peer]) -> None:
    mailworker, client = relayed
    (old,) = mailworker.await_workers(1)
    mailworker.signal(signal.SIGHUP)
    mailworker.await_line("gracefully shutting down$")
    for _ in range(3):
        client.talk((b"STAT\r\n", b"STAT\r\n"))
    client.close()
    mailworker.await_workers(1, without=[old])
    assert not mailworker.lines("shutdown timeout")


def test_a_session_before_login_outlives_worker_shutdown_timeout(relayed: tuple[Mailworker, Peer], port: int) -> None:
    mailworker, client = relayed
    other = Peer.connect(("127.0.0.1", port))
    other.expect(b"+OK POP3 ready\r\n")
    mailworker.signal(signal.SIGQUIT)
    assert client.rest() == b""
    other.talk((b"NOOP\r\n", b"+OK\r\n"))
    other.close()
    assert mailworker.await_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
def test_clients_that_wait_to_be_accepted_when_the_service_ends_are_served(
    running: Mailworker, port: int, number: signal.Signals
) -> None:
    running.alerts.append("master process is gone")
    master, workers = psutil.Process(running.pid), running.workers()
    for worker in workers:
        hold(worker)
    with ExitStack() as resources:
        clients = [resources.enter_context(closing(Peer.connect(("127.0.0.1", port)))) for _ in range(6)]
        master.send_signal(number)
        running.await_true(lambda: not is_listening(master), "the master's farewell to the port")
        for worker in workers:
            worker.resume()
        for client in clients:
            client.talk((b"", GREETING), (b"a LOGOUT\r\n", b"* BYE Logging out\r\na OK completed\r\n"))
    running.await_exit()
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []
    assert refuses(port)


def test_a_worker_that_gets_term_itself_goes_and_is_replaced(running: Mailworker, port: int) -> None:
    victim = running.workers()[0].pid
    os.kill(victim, signal.SIGTERM)
    running.await_workers(2, without=[victim])
    assert running.lines(rf"{victim}#{victim}: signal 15 \(SIGTERM\) received, exiting$")
    assert running.lines(rf"worker process {victim} exited with code 0$")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH, signal.SIGIO, signal.SIGPIPE])
def test_a_worker_takes_no_notice_of_other_signals(running: Mailworker, port: int, number: signal.Signals) -> None:
    before = [worker.pid for worker in running.workers()]
    for pid in before:
        os.kill(pid, number)
    assert greeting(port) == GREETING
    assert running.await_workers(2) == before


def test_a_worker_holds_only_what_it_needs(running: Mailworker, port: int) -> None:
    assert greeting(port)
    # The three standard streams, the log, the listener, the selector, two for signals, the master's pipe, the link that
    # logs come by, both ends of the pipe that relays splice through, and two in reserve for a log and for users.
    workers = running.workers()
    running.await_true(lambda: all(worker.num_fds() <= 14 for worker in workers), "the end of the client's connection")


def test_a_worker_is_called_one_when_all_is_open_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    class Service:
        def limit_connections(self, tables: Mapping[str, ConnTable]) -> None:
            assert not tables

        def start(self, loop: Loop, number: int, workers: int, lines: LineSink | None) -> None:
            steps.append("service")
            loop.stop()

        def abandon(self) -> None:
            steps.append("end")

    for call in ("gc.freeze", "gc.set_threshold", "log_unraisable"):
        monkeypatch.setattr(f"mailworker.process.child_process.{call}", lambda *_: None)
    monkeypatch.setattr("mailworker.process.worker.identity.assume", lambda *_: None)
    monkeypatch.setattr("mailworker.process.child_process.title_child", steps.append)
    cycle = Cycle(settings(), (), RecordedLog().log)
    cycle.service = cast(MailService, Service())
    link, masters = socket.socketpair()
    with link, masters:
        worker = Worker(cycle, 0, FromMaster(masters.fileno(), link, row=0))
        assert worker.run() == 0
        worker._reserve.close()
        worker._loop.close()
        worker._signals.close()
    assert steps == ["service", "worker process", "end"]


def is_listening(process: psutil.Process) -> bool:
    """Whether a process that may have ended has a listening socket."""
    with suppress(psutil.NoSuchProcess):
        return any(connection.status == psutil.CONN_LISTEN for connection in process.net_connections())
    return False
