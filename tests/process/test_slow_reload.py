"""What the master does while it waits for a configuration that takes long to read."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import psutil
import pytest

from tests.process.conftest import Install
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import GREETING, Mailworker, configuration, greeting, has_ended, opened, refuses

# In a mount namespace of its own, so that nobody else asks that name server.
_ENTER = 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"'

# The only file that may be a pipe, as in nginx.
_WAITING = "ssl_password_file fifo;"

_RECONFIGURING = r"#\d+: reconfiguring$"


@pytest.fixture
def running(install: Install, port: int) -> Mailworker:
    """A worker that serves, and a configuration that waits for somebody to write to a pipe."""
    mailworker = install(configuration(port))
    mailworker.start()
    mailworker.await_workers(1)
    slow_down(mailworker, configuration(port, main="worker_processes 2;"))
    return mailworker


def slow_down(mailworker: Mailworker, text: str) -> None:
    """Let the next reloads wait until they are released, and then have the configuration `text`."""
    os.mkfifo(mailworker.folder / "conf" / "fifo")
    mailworker.configure(text.replace("mail {", "mail { " + _WAITING, 1))


def reload(mailworker: Mailworker) -> None:
    """Begin a reload, which then waits for the pipe."""
    before = len(mailworker.lines(_RECONFIGURING))
    mailworker.signal(signal.SIGHUP)
    mailworker.await_line(_RECONFIGURING, before + 1)


def release(mailworker: Mailworker) -> None:
    """Let whoever waits for the pipe go on, without a password."""
    with (mailworker.folder / "conf" / "fifo").open("wb"):
        pass


def test_a_worker_is_replaced_and_the_reload_goes_on_afterwards(running: Mailworker) -> None:
    running.alerts.append("exited on signal 9")
    reload(running)
    (worker,) = running.await_workers(1)
    os.kill(worker, signal.SIGKILL)
    running.await_workers(1, without=[worker])
    release(running)
    running.await_workers(2, without=[worker])


def kinds_opened(process: int) -> list[str]:
    """What kinds of files and sockets a process has open."""
    return sorted(re.sub(r"\d+", "N", link) for link in opened(process))


def await_kinds(mailworker: Mailworker, process: int, expected: list[str]) -> None:
    """Until a new process has closed what the fork has left it, and opened what it needs."""
    mailworker.await_true(lambda: kinds_opened(process) == expected, f"{expected} in {process}")


def test_a_worker_that_is_replaced_meanwhile_has_nothing_of_the_reader(running: Mailworker) -> None:
    running.alerts.append("exited on signal 9")
    (worker,) = running.await_workers(1)
    expected = kinds_opened(worker)
    reload(running)
    os.kill(worker, signal.SIGKILL)
    (other,) = running.await_workers(1, without=[worker])
    await_kinds(running, other, expected)
    running.signal(signal.SIGTERM)


def test_a_worker_that_is_replaced_meanwhile_has_nothing_of_the_next_cycle(
    install: Install, port: int, ports: Ports
) -> None:
    mailworker = install(configuration(port))
    mailworker.alerts += ["exited on signal 9", "Address already in use", "still could not bind"]
    mailworker.start()
    (worker,) = mailworker.await_workers(1)
    expected = kinds_opened(worker)
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        others = f"listen 127.0.0.1:{ports['free']}; listen unix:{mailworker.folder}/socket; "
        others += f"listen 127.0.0.1:{occupied.getsockname()[1]}; ssl_session_cache shared:other:1m; listen"
        mailworker.configure(configuration(port, server="error_log logs/two.log;").replace("listen", others, 1))
        mailworker.signal(signal.SIGHUP)
        mailworker.await_line("Address already in use")
        os.kill(worker, signal.SIGKILL)
        (other,) = mailworker.await_workers(1, without=[worker])
        await_kinds(mailworker, other, expected)
        assert (mailworker.folder / "socket").is_socket()
        os.kill(other, signal.SIGTERM)
        mailworker.await_workers(1, without=[worker, other])
        assert (mailworker.folder / "socket").is_socket()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_the_master_leaves_when_it_is_told(running: Mailworker, number: Signals) -> None:
    reload(running)
    running.signal(number)
    assert running.await_exit() == 0


def reload_twice(mailworker: Mailworker) -> None:
    """Ask for another reload while one waits, and let both come to an end."""
    reload(mailworker)
    mailworker.signal(signal.SIGHUP)
    mailworker.await_line("SIGHUP", 2)
    release(mailworker)
    mailworker.await_line(_RECONFIGURING, 2)
    release(mailworker)


def test_a_reload_that_is_asked_for_meanwhile_follows(running: Mailworker) -> None:
    reload_twice(running)
    running.await_line("exited with code 0", 1)
    running.await_workers(2)


def test_the_other_binary_is_started_all_the_same(running: Mailworker, port: int) -> None:
    """It reads the configuration itself."""
    reload(running)
    running.configure(configuration(port))
    running.upgrade()


@pytest.fixture
def single(install: Install, port: int) -> Mailworker:
    """As `running`, without a master."""
    text = configuration(port, main="master_process off;")
    mailworker = install(text)
    mailworker.start()
    mailworker.await_true(lambda: not refuses(port), "listening")
    slow_down(mailworker, text)
    return mailworker


def test_a_reload_that_a_single_process_is_asked_for_meanwhile_follows(single: Mailworker, port: int) -> None:
    reload_twice(single)
    single.await_line('using the "epoll" event method', 3)
    assert greeting(port) == GREETING


def test_a_single_process_goes_on_serving(single: Mailworker, port: int) -> None:
    reload(single)
    assert greeting(port) == GREETING
    release(single)
    process = psutil.Process(single.pid)
    single.await_true(lambda: not process.children(), "the end of the reader")
    reload(single)
    single.await_true(lambda: len(process.children()) == 1, "another reader")
    (reader,) = process.children()
    single.signal(signal.SIGTERM)
    assert single.await_exit() == 0
    single.await_true(lambda: has_ended(reader.pid), "its end")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager that wants to hear of us every 0.2 seconds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(PATIENCE)
        yield listening


def test_the_watchdog_is_fed(running: Mailworker, manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    running.stop()
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.getsockname()))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    slow = (running.folder / "conf" / "mailworker.conf").read_text()
    running.configure(slow.replace(_WAITING, ""))
    running.start()
    while not manager.recv(4096).startswith(b"READY=1"):
        pass
    running.configure(slow)
    reload(running)
    while not manager.recv(4096).startswith(b"RELOADING=1"):
        pass
    for _ in range(5):
        assert manager.recv(4096) == b"WATCHDOG=1"
    release(running)
    while (heard := manager.recv(4096)) == b"WATCHDOG=1":
        pass
    assert heard.startswith(b"READY=1")


class AskingNobody(Mailworker):
    """One whose system asks a name server that says nothing."""

    def __init__(self, folder: Path, text: str) -> None:
        super().__init__(folder, text)
        self.name_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.name_server.bind(
            (f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}", 53)
        )
        self.name_server.settimeout(PATIENCE)
        (folder / "resolv.conf").write_text(f"nameserver {self.name_server.getsockname()[0]}\n")

    def command(self, *arguments: str) -> list[str]:
        namespace = ["unshare", "--mount", "sh", "-ec", _ENTER, "sh", str(self.folder / "resolv.conf")]
        return [*namespace, *super().command(*arguments)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_silent_name_servers_keep_the_master_from_nothing(folder: Path, port: int) -> None:
    mailworker = AskingNobody(folder, configuration(port))
    mailworker.alerts.append("exited on signal 9")
    with mailworker.name_server:
        try:
            mailworker.start()
            (worker,) = mailworker.await_workers(1)
            mailworker.configure(configuration(port, server="auth_http auth.example:80;"))
            mailworker.signal(signal.SIGHUP)
            assert b"\x04auth\x07example" in mailworker.name_server.recv(512)
            began = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            mailworker.await_workers(1, without=[worker])
            mailworker.signal(signal.SIGTERM)
            assert mailworker.await_exit() == 0
            assert time.monotonic() - began < PATIENCE
        finally:
            mailworker.stop()
