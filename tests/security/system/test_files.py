"""Row 63: links that somebody has planted where mailworker writes lead nowhere."""

from __future__ import annotations

import os
import pwd
import signal
import socket
from pathlib import Path

import pytest

from tests.process.conftest import Install
from tests.support.process import GREETING, Mailworker, configuration, greeting

CONTENT = "not yours\n"


@pytest.fixture
def target(folder: Path) -> Path:
    """A file that somebody wants to be overwritten."""
    path = folder / "target"
    path.write_text(CONTENT)
    path.chmod(0o600)
    return path


def untouched(target: Path) -> bool:
    return target.read_text() == CONTENT and target.stat().st_mode & 0o777 == 0o600 and target.stat().st_uid == 0


def test_a_link_in_place_of_the_pid_file_is_replaced(install: Install, port: int, target: Path) -> None:
    mailworker = install(configuration(port))
    mailworker.pid_file.symlink_to(target)
    mailworker.start()
    assert greeting(port) == GREETING
    assert not mailworker.pid_file.is_symlink()
    mailworker.signal(signal.SIGTERM)
    assert mailworker.await_exit() == 0
    assert not mailworker.pid_file.exists()
    assert untouched(target)


def test_a_pid_file_that_has_become_anothers_is_left_alone(install: Install, port: int) -> None:
    mailworker = install(configuration(port))
    mailworker.start()
    master = mailworker.pid
    mailworker.pid_file.write_text("1\n")
    os.kill(master, signal.SIGTERM)
    assert mailworker.await_exit() == 0
    assert mailworker.pid_file.read_text() == "1\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of others")
def test_a_link_that_a_worker_has_put_in_place_of_the_log_is_refused(install: Install, port: int, target: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    mailworker = install(configuration(port))
    mailworker.start()
    (worker,) = mailworker.await_workers(1)
    old = mailworker.error_log.rename(mailworker.error_log.with_name("old.log"))
    mailworker.error_log.symlink_to(target)
    os.chown(mailworker.error_log, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    mailworker.signal(signal.SIGUSR1)
    refused = f'[emerg] {mailworker.pid}#{mailworker.pid}: open() "{mailworker.error_log}" failed (40: '
    mailworker.await_true(lambda: refused in old.read_text(), "the refusal")
    assert untouched(target)
    assert greeting(port) == GREETING
    mailworker.await_true(lambda: "connected to" in old.read_text(), "a record in the old log")
    assert mailworker.await_workers(1) == [worker]
    mailworker.error_log.unlink()


def test_a_link_in_place_of_a_unix_socket_stops_the_start(install: Install, port: int, target: Path) -> None:
    path = target.with_name("imap.sock")
    path.symlink_to(target)
    mailworker = install(configuration(port, server=f"listen unix:{path};"))
    started = mailworker.run("-g", "daemon off;")
    assert started.returncode == 1
    assert b"failed (98: Address already in use)" in started.stderr
    assert path.is_symlink()
    assert untouched(target)


def test_nobody_can_turn_a_unix_socket_into_a_link_before_its_mode_is_set(
    monkeypatch: pytest.MonkeyPatch, install: Install, port: int, folder: Path
) -> None:
    """The mode is the one that the socket is made with, whatever the umask: there is no moment in between."""
    path = folder / "imap.sock"
    monkeypatch.setattr(Mailworker, "command", umasked(Mailworker.command))
    install(configuration(port, server=f"listen unix:{path};")).start()
    assert path.stat().st_mode & 0o777 == 0o666
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(100) == GREETING


def umasked(command: object) -> object:
    assert callable(command)
    return lambda self, *arguments: ["sh", "-c", 'umask 077; exec "$@"', "sh", *command(self, *arguments)]
