"""USR2, WINCH and two masters at a time, on the real binary."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mailworker.event.listener import BoundListener
from mailworker.process.cycle import Cycle
from mailworker.process.handover.inheritance import Inheritance
from mailworker.process.handover.upgrade import Upgrade, new_environment
from tests.process.conftest import Install
from tests.support.daemon import wait_until
from tests.support.process import GREETING, Mailworker, configuration, greeting, refuses, written_pid
from tests.support.recorded_log import RecordedLog
from tests.support.settings import configuration as configuration_of

REFUSAL = (
    r"\[crit\] .*: the changing binary signal is ignored: "
    r"you should shutdown or terminate before either old or new binary's process$"
)


@pytest.fixture
def daemon(install: Install, port: int) -> Mailworker:
    """Two workers in the background, which serve IMAP on `port`."""
    mailworker = install(configuration(port, main="worker_processes 2;"))
    mailworker.start_daemon()
    mailworker.await_workers(2)
    return mailworker


def await_end(*pids: int) -> None:
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), f"the end of {pids}")


def interpreter_of_its_own(folder: Path) -> Path:
    """An interpreter that may be taken away, with the packages of ours."""
    interpreter = folder / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(Path(sys.executable).resolve())
    (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    return interpreter


def test_usr2_starts_a_new_binary_on_the_same_sockets(daemon: Mailworker, port: int) -> None:
    old, new = daemon.upgrade()
    assert int(daemon.old_pid_file.read_text()) == old
    assert daemon.lines(rf"{old}#{old}: signal 12 \(SIGUSR2\) received from {os.getpid()}, changing binary$")
    assert daemon.lines(rf"\[notice\] {old}#{old}: changing binary$")
    daemon.await_line(rf"\[notice\] {old}#{old}: start new binary process {new}$")
    assert daemon.lines(rf'\[notice\] {new}#{new}: using inherited sockets from "\d+;"$')
    assert not daemon.lines("Address already in use")
    assert greeting(port) == GREETING
    daemon.await_workers(2, master=old)
    daemon.await_workers(2, master=new)


def test_usr2_works_in_the_foreground_too(running: Mailworker, port: int) -> None:
    old, new = running.upgrade()
    os.kill(old, signal.SIGQUIT)
    assert running.await_exit() == 0
    assert running.pid == new
    assert greeting(port) == GREETING


def test_the_new_binary_goes_on_when_the_old_one_quits(daemon: Mailworker, port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", port))) as client:
        assert client.recv(100) == GREETING
        old, new = daemon.upgrade()
        os.kill(old, signal.SIGQUIT)
        daemon.await_line("gracefully shutting down$", 2)
        client.sendall(b"a NOOP\r\n")
        assert client.recv(100) == b"a OK completed\r\n"
    await_end(old)
    assert greeting(port) == GREETING
    assert daemon.pid == new
    assert not daemon.old_pid_file.exists()


def test_usr2_is_ignored_while_two_masters_run(daemon: Mailworker) -> None:
    old, new = daemon.upgrade()
    for count, master in enumerate((old, new), start=1):
        os.kill(master, signal.SIGUSR2)
        daemon.await_line(rf"{master}#{master}: signal 12 \(SIGUSR2\) received from \d+, ignoring$")
        daemon.await_line(REFUSAL, count)
    assert (daemon.pid, int(daemon.old_pid_file.read_text())) == (new, old)


def test_usr2_is_obeyed_again_once_the_old_master_has_gone(daemon: Mailworker, port: int) -> None:
    first, second = daemon.upgrade()
    os.kill(first, signal.SIGQUIT)
    await_end(first)
    old, third = daemon.upgrade()
    assert old == second
    os.kill(second, signal.SIGTERM)
    await_end(second)
    assert daemon.pid == third
    assert greeting(port) == GREETING


def test_winch_takes_the_workers_and_hup_brings_them_back(daemon: Mailworker, port: int) -> None:
    old, new = daemon.upgrade()
    before = [worker.pid for worker in daemon.workers(old)]
    os.kill(old, signal.SIGWINCH)
    daemon.await_line(rf"{old}#{old}: signal 28 \(SIGWINCH\) received from \d+, stop accepting connections$")
    daemon.await_workers(0, master=old)
    assert greeting(port) == GREETING
    daemon.configure("nonsense;")
    os.kill(old, signal.SIGHUP)  # does not read the configuration
    daemon.await_workers(2, without=before, master=old)
    os.kill(new, signal.SIGQUIT)
    await_end(new)
    daemon.await_true(lambda: not daemon.old_pid_file.exists(), "the old name of the pid file")
    assert daemon.pid == old
    assert greeting(port) == GREETING
    assert not daemon.lines("nonsense")


def test_hup_of_the_old_master_does_not_double_its_workers(daemon: Mailworker) -> None:
    old, _ = daemon.upgrade()
    before = daemon.await_workers(2, master=old)
    os.kill(old, signal.SIGHUP)
    daemon.await_line("start worker processes$", 3)
    os.kill(old, signal.SIGUSR1)
    daemon.await_line("reopening logs$", 2)
    assert daemon.await_workers(2, master=old) == before


def test_hup_of_the_old_master_has_as_many_workers_as_the_configuration_says(daemon: Mailworker) -> None:
    """As with nginx. What TTIN and TTOU had added and taken remained so."""
    old, _ = daemon.upgrade()
    os.kill(old, signal.SIGTTOU)
    daemon.await_workers(1, master=old)
    os.kill(old, signal.SIGHUP)
    before = daemon.await_workers(2, master=old)
    os.kill(old, signal.SIGTTIN)
    daemon.await_workers(3, master=old)
    os.kill(old, signal.SIGHUP)
    assert daemon.await_workers(2, master=old) == before


def test_hup_of_the_new_master_reads_the_configuration(daemon: Mailworker, port: int) -> None:
    _, new = daemon.upgrade()
    daemon.configure(configuration(port, main="worker_processes 3;"))
    os.kill(new, signal.SIGHUP)
    daemon.await_workers(3, master=new)


def test_winch_then_hup_without_another_binary_reads_the_configuration(daemon: Mailworker, port: int) -> None:
    daemon.signal(signal.SIGWINCH)
    daemon.await_workers(0)
    daemon.configure(configuration(port, main="worker_processes 3;"))
    daemon.signal(signal.SIGHUP)
    daemon.await_workers(3)
    assert greeting(port) == GREETING


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_old_master_resumes_when_the_new_one_ends(daemon: Mailworker, port: int, number: signal.Signals) -> None:
    daemon.alerts += ["exited on signal 9$", "master process is gone"]
    old, new = daemon.upgrade()
    os.kill(old, signal.SIGWINCH)
    daemon.await_workers(0, master=old)
    os.kill(new, number)
    daemon.await_workers(2, master=old)
    daemon.await_line(rf"{old}#{old}: new binary process {new} exited (on signal 9|with code 0)$")
    assert daemon.pid == old
    assert not daemon.old_pid_file.exists()
    assert greeting(port) == GREETING
    assert len(daemon.upgrade()) == 2


def test_a_new_binary_that_cannot_start_changes_nothing(daemon: Mailworker, port: int) -> None:
    old = daemon.pid
    before = daemon.await_workers(2)
    daemon.configure("nonsense;")
    daemon.signal(signal.SIGUSR2)
    daemon.await_line(r"new binary process \d+ exited with code 1$")
    daemon.await_true(lambda: not daemon.old_pid_file.exists(), "the pid file's return")
    assert daemon.lines('unknown directive "nonsense"|unexpected end of file')
    assert daemon.pid == old
    assert daemon.await_workers(2) == before
    assert greeting(port) == GREETING


def test_a_missing_binary_changes_nothing(install: Install, port: int, folder: Path) -> None:
    interpreter = interpreter_of_its_own(folder / "environment")
    mailworker = install(configuration(port))
    mailworker.interpreter = str(interpreter)
    mailworker.alerts.append("execve")
    mailworker.start()
    mailworker.await_workers(1)
    old = mailworker.pid
    interpreter.unlink()
    mailworker.signal(signal.SIGUSR2)
    message = f'execve() failed while executing new binary process "{interpreter}" (2: No such file or directory)'
    mailworker.await_line(rf"\[alert\] .*: {re.escape(message)}$")
    mailworker.await_true(lambda: not mailworker.old_pid_file.exists(), "the pid file's return")
    assert mailworker.pid == old


def test_a_lost_pid_file_keeps_the_binary(running: Mailworker, port: int) -> None:
    running.alerts.append("rename")
    pid, path = running.pid, running.pid_file
    path.unlink()
    os.kill(pid, signal.SIGUSR2)
    running.await_line(rf"\[alert\] .*: rename\(\) {path} to {path}.oldbin failed before executing new binary process")
    assert greeting(port) == GREETING


def test_the_new_binary_gets_what_env_leaves_the_sockets_and_where_to_report_to() -> None:
    settings = configuration_of()
    settings = replace(settings, core=replace(settings.core, env=("KEPT", "MADE=up")))
    cycle = Cycle(settings, (), RecordedLog().log)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        cycle.listeners = [BoundListener((), listening), BoundListener((), listening)]
        number = listening.fileno()
        current = {"KEPT": "yes", "DROPPED": "no", "TZ": "UTC", "NOTIFY_SOCKET": "/s", "WATCHDOG_PID": "1"}
        assert new_environment(cycle, current) == {
            "KEPT": "yes",
            "MADE": "up",
            "TZ": "UTC",
            "NOTIFY_SOCKET": "/s",
            "MAILWORKER": f"{number};{number};",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def test_the_new_binary_may_listen_on_other_addresses(daemon: Mailworker, port: int, folder: Path) -> None:
    path = folder / "imap.sock"
    daemon.configure(configuration(port, server=f"listen unix:{path};"))
    old, new = daemon.upgrade()
    daemon.await_true(path.exists, "the unix socket")
    os.kill(old, signal.SIGQUIT)
    await_end(old)
    daemon.configure(f"{configuration(port)}".replace(f"127.0.0.1:{port}", f"unix:{path}"))
    assert daemon.upgrade()[0] == new
    os.kill(new, signal.SIGQUIT)
    await_end(new)
    assert refuses(port)
    assert daemon.lines(f"closing the inherited socket of 127.0.0.1:{port}, which is not listened on$")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(100) == GREETING


def test_a_unix_socket_outlives_either_of_two_masters(install: Install, port: int, folder: Path) -> None:
    path = folder / "imap.sock"
    mailworker = install(configuration(port, server=f"listen unix:{path};"))
    mailworker.start_daemon()
    old, new = mailworker.upgrade()
    os.kill(new, signal.SIGTERM)
    await_end(new)
    mailworker.await_true(lambda: not mailworker.old_pid_file.exists(), "the pid file's return")
    assert path.is_socket()
    assert mailworker.upgrade()[0] == old
    os.kill(old, signal.SIGTERM)
    await_end(old)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(100) == GREETING
    mailworker.signal(signal.SIGTERM)
    wait_until(lambda: not path.exists(), "the socket's removal")


def test_a_new_binary_without_workers_leaves_the_unix_socket_of_its_master_alone(
    install: Install, port: int, folder: Path
) -> None:
    path = folder / "imap.sock"
    server = f"listen unix:{path};"
    mailworker = install(configuration(port, server=server))
    mailworker.start_daemon()
    old = mailworker.pid
    mailworker.configure(configuration(port, main="master_process off;", server=server))
    mailworker.signal(signal.SIGUSR2)
    mailworker.await_true(lambda: written_pid(mailworker.pid_file) not in (None, old), "the new binary's pid file")
    mailworker.signal(signal.SIGTERM)
    mailworker.await_true(lambda: written_pid(mailworker.pid_file) == old, "the pid file's return")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(100) == GREETING


def test_winch_to_a_worker_in_the_background_ends_it_and_it_is_replaced(daemon: Mailworker) -> None:
    victim = daemon.workers()[0].pid
    os.kill(victim, signal.SIGWINCH)
    daemon.await_workers(2, without=[victim])
    assert daemon.lines(rf"{victim}#{victim}: signal 28 \(SIGWINCH\) received, shutting down$")


def test_ttin_and_ttou_add_and_take_a_worker(running: Mailworker) -> None:
    first = running.await_workers(2)
    running.signal(signal.SIGTTIN)
    assert set(first) < set(running.await_workers(3))
    running.signal(signal.SIGTTOU)
    assert running.await_workers(2) == first
    running.signal(signal.SIGTTOU)
    assert running.await_workers(1) == first[:1]
    running.signal(signal.SIGTTOU)
    running.await_line("removing a worker process$", 3)
    running.signal(signal.SIGTTIN)
    assert running.await_workers(2)[0] == first[0]


def test_a_reload_has_as_many_workers_as_the_configuration_says(running: Mailworker) -> None:
    running.signal(signal.SIGTTIN)
    before = running.await_workers(3)
    running.signal(signal.SIGHUP)
    running.await_workers(2, without=before)


def test_a_pid_file_that_cannot_get_its_name_back_gets_it_later(daemon: Mailworker) -> None:
    """Nobody could signal the master by it, nor start another binary."""
    daemon.alerts.append("rename")
    old, new = daemon.upgrade()
    daemon.pid_file.unlink()
    daemon.pid_file.mkdir()
    os.kill(new, signal.SIGQUIT)
    renamed = f"{daemon.old_pid_file} to {daemon.pid_file}"
    daemon.await_line(rf"\[alert\] .* rename\(\) {renamed} back failed after .* \(21: Is a directory\)$")
    daemon.pid_file.rmdir()
    daemon.await_true(daemon.pid_file.exists, "the pid file's return")
    assert daemon.pid == old
    assert len(daemon.lines("rename")) == 1
    daemon.upgrade()


def no_retry(_seconds: float, _action: Callable[[], None]) -> None:
    raise AssertionError("nothing is to be tried again")


def test_a_binary_that_there_is_no_memory_for_leaves_the_pid_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file had another name from then on, so nobody could signal the master, nor start another binary."""

    def lack(*_: object) -> int:
        raise MemoryError

    monkeypatch.setattr("mailworker.process.handover.upgrade.execute", lack)
    settings, log = configuration_of(), RecordedLog()
    settings = replace(settings, core=replace(settings.core, pid=tmp_path / "pid"))
    (tmp_path / "pid").touch()
    upgrade = Upgrade(Inheritance(), no_retry)
    upgrade.start(Cycle(settings, (), log.log))
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]
    assert not upgrade.other_runs
    assert log.lines[-1].startswith("[alert] execve() failed while executing new binary process ")
    assert log.lines[-1].endswith(" (12: Cannot allocate memory)")
