"""Servers of the system's packages, run privately for the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import PATIENCE

STOP_TIMEOUT = 10.0
POLL_INTERVAL = 0.02

Address = tuple[str, int]


class ServerUnavailable(Exception):
    """A server cannot run here; the text says what is missing."""


def find_program(name: str, *folders: str) -> str:
    """The path of a program in PATH, /usr/sbin or `folders`; raises ServerUnavailable where there is none."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", *folders])
    program = shutil.which(name, path=path)
    if program is None:
        raise ServerUnavailable(f"{name} is not installed")
    return program


def mail_owner() -> pwd.struct_passwd:
    """The owner of the mailboxes: an unprivileged user if we are root, which mail servers refuse, else our own."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def wait_until(condition: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
    """Wait for something that no descriptor announces; raises TimeoutError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout} seconds")
        time.sleep(POLL_INTERVAL)


def accepts(*addresses: Address) -> bool:
    """Whether servers listen at all of `addresses`."""
    try:
        for address in addresses:
            socket.create_connection(address, timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def greets(*addresses: Address) -> bool:
    """Whether servers at all of `addresses` send a greeting."""
    return all(map(_greets, addresses))


def _greets(address: Address) -> bool:
    try:
        with socket.create_connection(address, timeout=PATIENCE) as connection:
            return bool(connection.recv(1))
    except (ConnectionRefusedError, ConnectionResetError):
        return False


class Daemon:
    """One server in the foreground, in a session of its own, so that stop() reaches its children and nothing else."""

    def __init__(self, command: Sequence[str], output: Path) -> None:
        self.output = output
        with output.open("wb") as stream:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def await_ready(self, ready: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Wait up to `timeout` seconds for `ready`; raises RuntimeError with the server's output if the server ends."""

        def ready_or_ended() -> bool:
            return self._process.poll() is not None or ready()

        wait_until(ready_or_ended, f"start of {self._process.args!r}", timeout)
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended: {self.output.read_text(errors='replace')}")

    def stop(self, timeout: float = STOP_TIMEOUT, ask_by: signal.Signals = signal.SIGTERM) -> int:
        """Ask the server to end, force it after `timeout` seconds, and return its exit code."""
        self._process.send_signal(ask_by)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return self._process.wait()


@contextmanager
def running(command: Sequence[str], output: Path, ready: Callable[[], bool]) -> Iterator[Daemon]:
    """Run a server as long as this lasts, once it is `ready`; raises as `Daemon.await_ready` does."""
    daemon = Daemon(command, output)
    try:
        daemon.await_ready(ready)
        yield daemon
    finally:
        daemon.stop()
