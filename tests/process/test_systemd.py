"""The real binary under a service manager that speaks as systemd does."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.conftest import Install
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.process import BINARY, GREETING, Mailworker, configuration, greeting, hold

CREDENTIALS_SPACE = socket.CMSG_SPACE(12)  # struct ucred
# Passes descriptor 0 on as systemd passes the first socket of a unit.
ACTIVATE = """
import os, sys
os.dup2(0, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="imap")
os.execv(sys.argv[1], sys.argv[1:])
"""


class Manager:
    """Takes the datagrams that systemd would take."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.settimeout(PATIENCE)
        self.speaker = 0  # the process that has sent the last datagram

    def hear(self) -> dict[str, str]:
        """The next message that is no sign of life."""
        while True:
            message = dict(line.split("=", 1) for line in self._receive().decode().split("\n"))
            if message != {"WATCHDOG": "1"}:
                return message

    def hear_watchdog(self) -> None:
        """Wait for a sign of life."""
        while self._receive() != b"WATCHDOG=1":
            pass

    def _receive(self) -> bytes:
        message, ancillary, _, _ = self._socket.recvmsg(4096, CREDENTIALS_SPACE)
        self.speaker = struct.unpack("=3i", ancillary[0][2])[0]
        return message

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    path = folder / "notify"
    manager = Manager(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    yield manager
    manager.close()


@pytest.mark.parametrize("main", ["worker_processes 2;", "master_process off;"])
def test_start_reload_and_stop_are_reported(install: Install, port: int, manager: Manager, main: str) -> None:
    mailworker = install(configuration(port, main=main))
    mailworker.start()
    ready = manager.hear()
    assert (ready["READY"], ready["MAINPID"]) == ("1", str(mailworker.pid))
    assert ready["STATUS"].startswith("Serving")
    assert greeting(port) == GREETING
    mailworker.signal(signal.SIGHUP)
    reloading = manager.hear()
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert manager.hear()["READY"] == "1"
    mailworker.configure("nonsense;")
    mailworker.signal(signal.SIGHUP)
    assert manager.hear()["RELOADING"] == "1"
    assert "refused" in manager.hear()["STATUS"]
    mailworker.signal(signal.SIGTERM)
    assert manager.hear()["STOPPING"] == "1"
    assert mailworker.await_exit() == 0


def test_a_daemon_reports_the_process_that_stays(install: Install, port: int, manager: Manager) -> None:
    mailworker = install(configuration(port))
    mailworker.start_daemon()
    assert manager.hear()["MAINPID"] == str(mailworker.pid)


def test_the_old_master_names_its_new_binary_when_it_leaves(install: Install, port: int, manager: Manager) -> None:
    """Not before: who is the main process until then can take the service back."""
    mailworker = install(configuration(port))
    mailworker.start()
    assert manager.hear()["MAINPID"] == str(mailworker.pid)
    old, new = mailworker.upgrade()
    os.kill(new, signal.SIGTERM)
    back = manager.hear()
    assert back["MAINPID"] == str(old)
    assert "STOPPING" not in back
    old, new = mailworker.upgrade()
    os.kill(old, signal.SIGQUIT)
    named = manager.hear()
    assert (named["MAINPID"], manager.speaker) == (str(new), old)
    assert mailworker.await_exit() == 0
    mailworker.signal(signal.SIGHUP)
    while "RELOADING" not in (heard := manager.hear()):  # it may have begun to serve only now
        assert (heard["MAINPID"], manager.speaker) == (str(new), new)
    assert (manager.hear()["MAINPID"], manager.speaker) == (str(new), new)
    mailworker.signal(signal.SIGQUIT)
    assert manager.hear()["STOPPING"] == "1"


def test_the_watchdog_is_fed_by_each_master(
    install: Install, port: int, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    mailworker = install(configuration(port))
    mailworker.start()
    for _ in range(3):
        manager.hear_watchdog()
    old, new = mailworker.upgrade()
    for _ in range(3):
        manager.hear_watchdog()
        assert manager.speaker == old
    with socket.create_connection(("127.0.0.1", port)) as lingering:
        assert lingering.recv(100) == GREETING
        os.kill(old, signal.SIGQUIT)  # both run still, but the new one is in charge
        assert manager.hear()["MAINPID"] == str(new)
        for _ in range(3):
            manager.hear_watchdog()
            assert manager.speaker == new
    assert mailworker.await_exit() == 0


def test_the_new_binary_reports_once_the_old_master_is_killed(install: Install, port: int, manager: Manager) -> None:
    """Also where a worker that the old one has started since lives on."""
    mailworker = install(configuration(port))
    mailworker.start()
    manager.hear()
    old, new = mailworker.upgrade()
    os.kill(old, signal.SIGTTIN)
    mailworker.await_workers(2, master=old)
    workers = mailworker.workers(old)
    try:
        for worker in workers:
            hold(worker)
        os.kill(old, signal.SIGKILL)
        assert mailworker.await_exit() == -signal.SIGKILL
        os.kill(new, signal.SIGHUP)
        assert (manager.hear()["RELOADING"], manager.speaker) == ("1", new)
    finally:
        for worker in workers:
            worker.kill()


def activate(mailworker: Mailworker, listening: socket.socket, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", ACTIVATE, sys.executable, str(BINARY), "-p", str(folder), "-g", "daemon off;"]
    activated = subprocess.Popen(command, stdin=listening.fileno(), stdout=subprocess.DEVNULL)
    wait_until(lambda: mailworker.pid_file.exists() or activated.poll() is not None, "start")
    return activated


def test_a_socket_of_the_service_manager_is_used(install: Install, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        mailworker = install(configuration(port))
        activated = activate(mailworker, listening, folder)
        try:
            assert greeting(port) == GREETING
            assert mailworker.lines("using 1 sockets of the service manager$")
            assert not mailworker.lines("Address already in use")
        finally:
            activated.terminate()
            assert activated.wait(PATIENCE) == 0


def test_a_unix_socket_of_the_service_manager_stays_in_its_folder(install: Install, port: int, folder: Path) -> None:
    path = folder / "imap.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o666)
        listening.listen()
        text = configuration(port).replace(f"127.0.0.1:{port}", f"unix:{path}")
        mailworker = install(text)
        activated = activate(mailworker, listening, folder)
        mailworker.await_workers(1)
        activated.terminate()
        assert activated.wait(PATIENCE) == 0
        assert path.is_socket()
