"""The master's signals, on the real binary."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from signal import Signals

import psutil
import pytest

from mailworker.process.cycle import Cycle
from mailworker.process.handover.inheritance import Inheritance
from mailworker.process.invocation import Invocation
from mailworker.process.master import Master
from mailworker.process.origin import Origin
from mailworker.process.system.daemon import Starter
from mailworker.process.system.service_manager import ServiceManager
from mailworker.process.system.signals import BlockedSignals, Received
from mailworker.process.workforce import Workforce
from tests.process.conftest import Install
from tests.support import settings
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import BINARY, GREETING, Mailworker, configuration, greeting, hold, refuses, title
from tests.support.recorded_log import RecordedLog


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")])
def test_term_and_int_end_master_and_workers_at_once(
    running: Mailworker, port: int, number: Signals, name: str
) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        running.signal(number)
        assert running.await_exit() == 0
    assert running.lines(rf"\[notice\] .* signal {number.value} \({name}\) received from {os.getpid()}, exiting$")
    assert len(running.lines(r"worker process \d+ exited with code 0$")) == 2
    assert running.lines(r": exit$")[-1] == running.lines("")[-1]
    assert not running.pid_file.exists()
    assert refuses(port)


def test_quit_lets_sessions_end(running: Mailworker, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        running.signal(signal.SIGQUIT)
        running.await_line("gracefully shutting down", 2)
        running.await_true(lambda: len(running.workers()) == 1, "the idle worker's exit")
        assert refuses(port)
        assert title(running.workers()[0]) == "mailworker: worker process is shutting down"
        client.sendall(b"a LOGOUT\r\n")
        assert client.makefile("rb").read().endswith(b"a OK completed\r\n")
        assert running.await_exit() == 0
    assert not running.pid_file.exists()


def test_term_ends_what_quit_left(running: Mailworker, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        running.signal(signal.SIGQUIT)
        running.await_line("gracefully shutting down", 2)
        running.signal(signal.SIGTERM)
        assert running.await_exit() == 0


def test_hup_replaces_the_workers_and_keeps_the_sessions_of_the_old_ones(running: Mailworker, port: int) -> None:
    old = [worker.pid for worker in running.workers()]
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        running.signal(signal.SIGHUP)
        running.await_line("gracefully shutting down", 2)
        client.sendall(b"a NOOP\r\n")
        assert client.recv(100) == b"a OK completed\r\n"
        assert greeting(port) == GREETING
    running.await_workers(2, without=old)
    assert running.lines("reconfiguring$")


def test_hup_opens_new_addresses_and_closes_those_that_are_gone(running: Mailworker, port: int, ports: Ports) -> None:
    other = ports["other"]
    old = [worker.pid for worker in running.workers()]
    running.configure(configuration(other))
    running.signal(signal.SIGHUP)
    running.await_workers(1, without=old)
    assert greeting(other) == GREETING
    assert refuses(port)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mail { timeout 5parsecs; }", r'"timeout" directive invalid value in .*/conf/mailworker.conf:1$'),
        ("events {} mail {", r'unexpected end of file, expecting "}" in .*/conf/mailworker.conf:1$'),
        ("error_log missing/error.log; events {}", r'open\(\) ".*/missing/error.log" failed \(2: No such file'),
        ("events {} pid missing/pid;", r'open\(\) ".*/missing/pid" failed \(2: No such file or directory\)$'),
        ("events {} pid /proc/pid;", r'open\(\) "/proc/pid" failed \(\d+: .*\)$'),
        (
            "events {} mail { auth_http 127.0.0.1; server { listen 127.0.0.1:1993 ssl; protocol imap; "
            "ssl_certificate gone.crt; ssl_certificate_key gone.key; } }",
            r'cannot load certificate ".*/conf/gone.crt": BIO_new_file\(\) failed \(SSL: .*No such file or directory',
        ),
    ],
)
def test_hup_with_a_bad_configuration_changes_nothing(running: Mailworker, port: int, text: str, message: str) -> None:
    old = {worker.pid for worker in running.workers()}
    running.configure(text)
    running.signal(signal.SIGHUP)
    running.await_line(rf"\[emerg\] {running.pid}#{running.pid}: {message}")
    assert {worker.pid for worker in running.workers()} == old
    assert greeting(port) == GREETING


def test_a_master_that_waits_for_an_address_obeys_other_signals(running: Mailworker, port: int, ports: Ports) -> None:
    taken = ports["taken"]
    with socket.create_server(("127.0.0.1", taken)):
        running.configure(configuration(port, mail=f"server {{ listen 127.0.0.1:{taken}; protocol pop3; }}"))
        running.signal(signal.SIGHUP)
        running.await_line(rf"bind\(\) to 127.0.0.1:{taken} failed \(98: Address already in use\)$")
        running.await_line(r"try again to bind\(\) after 500ms$")
        moved = running.error_log.with_name("moved.log")
        running.error_log.rename(moved)
        running.signal(signal.SIGUSR1)
        running.await_true(lambda: moved.read_text().count(": reopening logs\n") == 3, "all to have heard")
        assert not running.lines("still could not bind")
    running.await_true(lambda: not refuses(taken), "the second try")
    running.await_line("gracefully shutting down$", 2)  # the new configuration had its log before it was moved
    assert greeting(port) == GREETING
    running.await_line("connected to")


def test_hup_with_an_address_that_stays_in_use_changes_nothing(running: Mailworker, port: int) -> None:
    old = running.await_workers(2)
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        taken = occupied.getsockname()[1]
        running.configure(configuration(port, mail=f"server {{ listen 127.0.0.1:{taken}; protocol pop3; }}"))
        running.signal(signal.SIGHUP)
        running.await_line(r"\[emerg\] .*: still could not bind\(\)$")
    assert (
        len(running.lines(rf"\[emerg\] .*: bind\(\) to 127.0.0.1:{taken} failed \(98: Address already in use\)$")) == 5
    )
    assert running.await_workers(2) == old
    assert greeting(port) == GREETING


def test_hup_moves_the_pid_file(running: Mailworker, port: int, folder: Path) -> None:
    pid = running.pid
    running.configure(configuration(port, main="pid logs/other.pid;"))
    running.signal(signal.SIGHUP)
    running.await_true(lambda: not running.pid_file.exists(), "the removal of the old pid file")
    assert int((folder / "logs" / "other.pid").read_text()) == pid


def test_usr1_reopens_the_logs(running: Mailworker, port: int) -> None:
    moved = running.error_log.with_name("moved.log")
    running.error_log.rename(moved)
    running.signal(signal.SIGUSR1)
    running.await_true(running.error_log.exists, "the new log")
    running.await_true(lambda: greeting(port) == GREETING and bool(running.lines("connected to")), "a worker's line")
    assert running.lines("reopening logs") == []
    assert "reopening logs" in moved.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can shut workers out")
def test_workers_get_logs_anew_that_they_may_not_open(running: Mailworker, port: int) -> None:
    running.error_log.parent.chmod(0o700)
    moved = running.error_log.with_name("moved.log")
    running.error_log.rename(moved)
    running.signal(signal.SIGUSR1)
    running.await_true(lambda: moved.read_text().count(": reopening logs\n") == 3, "all to have heard")
    assert greeting(port) == GREETING
    running.await_line("connected to")


def test_a_worker_that_is_told_alone_opens_its_logs(running: Mailworker) -> None:
    moved = running.error_log.with_name("moved.log")
    running.error_log.rename(moved)
    running.error_log.touch()
    running.error_log.chmod(0o666)
    for worker in running.workers():
        worker.send_signal(signal.SIGUSR1)
    running.await_true(lambda: moved.read_text().count(": reopening logs\n") == 2, "both to have heard")
    running.signal(signal.SIGUSR1)  # the master is in the old file yet
    running.await_line(": reopening logs$", 2)


def test_a_worker_of_an_older_configuration_gets_the_logs_of_this_one(running: Mailworker, port: int) -> None:
    moved = running.error_log.with_name("moved.log")
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        running.signal(signal.SIGHUP)
        running.await_line("gracefully shutting down$", 2)
        running.await_true(lambda: len(running.workers()) == 3, "the idle worker's exit")
        running.error_log.rename(moved)
        running.signal(signal.SIGUSR1)
        running.await_true(lambda: moved.read_text().count(": reopening logs\n") == 4, "all to have heard")
    running.await_line(": exiting$")


def test_a_killed_worker_is_replaced(running: Mailworker, port: int) -> None:
    running.alerts.append("exited on signal 9$")
    victim, survivor = (worker.pid for worker in running.workers())
    os.kill(victim, signal.SIGKILL)
    assert survivor in running.await_workers(2, without=[victim])
    assert running.lines(rf"\[alert\] .* worker process {victim} exited on signal 9$")
    assert greeting(port) == GREETING


@pytest.mark.parametrize(
    ("main", "reason"),
    [
        ("working_directory /nowhere;", r'chdir\("/nowhere"\) failed \(2: No such file or directory\)'),
        ("worker_rlimit_nofile 4;", r"socket\(\) failed \(24: Too many open files\)"),
    ],
    ids=["folder", "descriptors"],
)
def test_a_start_where_no_worker_can_begin_fails_and_none_is_started_again(
    install: Install, port: int, main: str, reason: str
) -> None:
    mailworker = install(configuration(port, main=main))
    mailworker.alerts.append("cannot be respawned$")
    mailworker.launch()
    assert mailworker.await_exit() == 1
    assert mailworker.lines(rf"\[emerg\] .*: {reason}$")
    assert mailworker.lines(r"\[alert\] .* worker process \d+ exited with fatal code 2 and cannot be respawned$")
    assert mailworker.lines(r"\[emerg\] .*: no worker process could start$")
    assert not mailworker.pid_file.exists()
    assert len(mailworker.lines("start worker process ")) == 1


def test_a_deaf_worker_is_killed(running: Mailworker) -> None:
    running.alerts.append("exited on signal 9$")
    hold(running.workers()[0])
    running.signal(signal.SIGTERM)
    assert running.await_exit() == 0
    assert running.lines("exited on signal 9$")


def test_workers_go_when_their_master_was_killed(running: Mailworker, port: int) -> None:
    running.alerts.append("master process is gone")
    workers = running.workers()
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        os.kill(running.pid, signal.SIGKILL)
        running.await_line("gracefully shutting down", 2)
        wait_until(lambda: refuses(port), "the ports' release")
        client.sendall(b"a NOOP\r\n")
        assert client.recv(100) == b"a OK completed\r\n"
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []


def test_titles_are_those_of_nginx(running: Mailworker) -> None:
    master = title(psutil.Process(running.pid))
    assert master == f"mailworker: master process {BINARY} -p {running.folder} -g daemon off;"
    assert {title(worker) for worker in running.workers()} == {"mailworker: worker process"}


def test_many_reloads_leave_no_descriptors_behind(running: Mailworker) -> None:
    def reload() -> None:
        old = [worker.pid for worker in running.workers()]
        running.signal(signal.SIGHUP)
        running.await_workers(2, without=old)

    master = psutil.Process(running.pid)
    reload()  # what a start has open is closed
    before = master.num_fds()
    for _ in range(5):
        reload()
    wait_until(lambda: master.num_fds() <= before, "the descriptors of old workers are closed")


@pytest.mark.parametrize("number", [signal.SIGWINCH, signal.SIGIO, signal.SIGALRM, signal.SIGPIPE])
def test_other_signals_do_not_end_the_master(running: Mailworker, port: int, number: Signals) -> None:
    workers = [worker.pid for worker in running.workers()]
    running.signal(number)
    running.signal(signal.SIGUSR1)
    running.await_line("reopening logs$", 3)
    assert [worker.pid for worker in running.workers()] == workers


def test_reloads_in_quick_succession_all_count(running: Mailworker, ports: Ports) -> None:
    for number in range(1, 4):
        running.configure(configuration(ports[f"of {number}"], main=f"worker_processes {number};"))
        running.signal(signal.SIGHUP)
        running.await_line(r"received from \d+, reconfiguring$", number)
    running.await_workers(3)


def test_a_signal_that_there_is_no_memory_for_does_not_end_the_master(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers finished their sessions, and nobody replaced them."""
    log, waits = RecordedLog(), list[float | None]()

    def lack(*_: object) -> None:
        raise MemoryError

    def wait(_signals: BlockedSignals, timeout: float | None) -> Received:
        waits.append(timeout)
        if len(waits) == 1:
            raise MemoryError
        return Received(signal.SIGTERM)

    def reap(_master: Master) -> None:
        raise RuntimeError("nobody has ended")

    monkeypatch.setattr(BlockedSignals, "wait", wait)
    monkeypatch.setattr(Master, "_publish_state", lack)
    monkeypatch.setattr(Master, "_reap", reap)
    monkeypatch.setattr(Workforce, "start", lambda _workforce: None)
    origin = Origin(
        Invocation(("mailworker",), Path(), Path(), None), Inheritance(), ServiceManager({}), False, Starter()
    )
    assert Master(origin, Cycle(settings.configuration(), (), log.log))._serve() == 0
    assert [line.partition(" in ")[0] for line in log.lines] == [
        *["[alert] not enough memory"] * 2,
        "[alert] RuntimeError: nobody has ended",
        "[alert] not enough memory",
        "[notice] signal 15 (SIGTERM) received, exiting",
    ]
