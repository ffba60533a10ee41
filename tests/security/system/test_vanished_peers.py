"""Row 51: peers whose machine or cable has gone, without a FIN or RST, are noticed and cost nothing for long."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import ServerUnavailable, find_program
from tests.support.process import GREETING, Mailworker, configuration

PORT = 143  # of a machine that nobody else is on
OURS, THEIRS = "192.0.2.1", "192.0.2.2"
# Connects from the other side of the cable, and tells what it hears.
CLIENT = """
import socket, sys, time
client = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
sys.stdout.write(client.recv(100).decode())
sys.stdout.flush()
time.sleep(60)
"""


class Cable:
    """A network of two machines, each a network namespace: nothing of it touches the system's own."""

    def __init__(self, ip: str) -> None:
        self._ip = ip
        self._ends = f"near{os.getpid()}", f"far{os.getpid()}"

    def lay(self) -> None:
        near, far = self._ends
        for end in self._ends:
            self._do("netns", "add", end)
        self._do("-n", near, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", far)
        for end, address in ((near, OURS), (far, THEIRS)):
            self._do("-n", end, "address", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                self._do("-n", end, "link", "set", device, "up")

    def near(self, *command: str) -> list[str]:
        """A command that runs `command` at our end."""
        return [self._ip, "netns", "exec", self._ends[0], *command]

    def far(self, *command: str) -> list[str]:
        """The same at the other end."""
        return [self._ip, "netns", "exec", self._ends[1], *command]

    def pull(self) -> None:
        """What is sent from now on is lost."""
        self._do("-n", self._ends[1], "link", "set", "cable", "down")

    def remove(self) -> None:
        for end in self._ends:
            subprocess.run([self._ip, "netns", "delete", end], check=False, capture_output=True, timeout=20)

    def _do(self, *arguments: str) -> None:
        subprocess.run([self._ip, *arguments], check=True, capture_output=True, timeout=20)


class MailworkerAtTheCable(Mailworker):
    """It runs at our end of the cable."""

    cable: Cable

    def command(self, *arguments: str) -> list[str]:
        return self.cable.near(*super().command(*arguments))


@pytest.fixture
def cable() -> Iterator[Cable]:
    try:
        made = Cable(find_program("ip"))
    except ServerUnavailable as error:
        pytest.skip(str(error))
    try:
        made.lay()
        yield made
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    finally:
        made.remove()


def descriptors(mailworker: Mailworker) -> int:
    (worker,) = mailworker.workers()
    return int(worker.num_fds())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")
@pytest.mark.parametrize(
    ("server", "listen"),
    [("timeout 3s;", ""), ("timeout 1h;", "so_keepalive=1s:1s:2")],
    ids=["timeout", "keepalive"],
)
def test_a_client_that_vanishes_is_let_go(folder: Path, cable: Cable, server: str, listen: str) -> None:
    mailworker = MailworkerAtTheCable(folder, configuration(PORT, server=f"listen {OURS}:{PORT} {listen}; {server}"))
    mailworker.cable = cable
    mailworker.start()
    try:
        mailworker.await_workers(1)
        before = descriptors(mailworker)
        command = cable.far(sys.executable, "-c", CLIENT, OURS, str(PORT))
        with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == GREETING
            assert descriptors(mailworker) == before + 1
            cable.pull()
            mailworker.await_true(lambda: descriptors(mailworker) == before, "the end of the connection")
            mailworker.await_line(r"\(110: (Connection|Operation) timed out\)")
            client.kill()
    finally:
        mailworker.stop()
