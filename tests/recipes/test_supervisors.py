"""A real supervisord starts, reloads and stops it."""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes.stage import RECIPES, shown
from tests.support.auth import AuthService
from tests.support.daemon import Daemon, accepts, wait_until
from tests.support.peer import Peer
from tests.support.ports import Ports
from tests.support.process import BINARY

PROGRAM = "/opt/mailworker/bin/mailworker"
# It warns of a module of its own that is out of fashion.
SUPERVISOR = ["env", "PYTHONWARNINGS=ignore", sys.executable, "-m"]


class Supervisord:
    """Runs the program of the page in a folder, with a configuration of mailworker's."""

    def __init__(self, folder: Path, text: str) -> None:
        self.log = folder / "log"
        self._server = f"unix://{folder}/socket"
        (folder / "mailworker.conf").write_text(text)
        with (folder / "supervisord.conf").open("w") as file:
            self._configuration(folder).write(file)
        command = [*SUPERVISOR, "supervisor.supervisord", "-c", str(folder / "supervisord.conf")]
        self.daemon = Daemon(command, folder / "output")

    def control(self, *words: str) -> str:
        """What supervisorctl prints."""
        command = [*SUPERVISOR, "supervisor.supervisorctl", "-s", self._server, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    def _configuration(self, folder: Path) -> configparser.RawConfigParser:
        parser = configparser.RawConfigParser()
        parser.read_string((RECIPES / "supervisord.conf").read_text(encoding="utf-8"))
        section = parser["program:mailworker"]
        changes = {
            PROGRAM: f"{sys.executable} {BINARY}",
            "/etc/mailworker/mailworker.conf": str(folder / "mailworker.conf"),
            "/run/mailworker.pid": str(folder / "pid"),
        }
        for documented, meant in changes.items():
            assert documented in section["command"]
            section["command"] = section["command"].replace(documented, meant)
        section["stdout_logfile"] = str(self.log)
        parser["supervisord"] = {
            "nodaemon": "true",
            "user": "root",
            "logfile": str(folder / "supervisord.log"),
            "pidfile": str(folder / "supervisord.pid"),
            "childlogdir": str(folder),
        }
        parser["unix_http_server"] = {"file": str(folder / "socket")}
        factory = "supervisor.rpcinterface:make_main_rpcinterface"
        parser["rpcinterface:supervisor"] = {"supervisor.rpcinterface_factory": factory}
        return parser


@pytest.fixture
def port() -> Iterator[int]:
    ports = Ports()
    yield ports["imap"]
    ports.close()


@pytest.fixture
def supervisord(tmp_path: Path, auth: AuthService, port: int) -> Iterator[Supervisord]:
    tmp_path.chmod(0o755)
    text = shown("supervisors.md")
    for documented, meant in (
        ("worker_processes auto;", "worker_processes 1; error_log stderr notice;"),
        ("listen 143;", f"listen 127.0.0.1:{port}; protocol imap;"),
        ("127.0.0.1:9000", str(auth.address)),
    ):
        assert documented in text
        text = text.replace(documented, meant)
    supervisord = Supervisord(tmp_path, text)
    yield supervisord
    supervisord.daemon.stop()


def test_supervisord_keeps_it(supervisord: Supervisord, port: int) -> None:
    supervisord.daemon.await_ready(lambda: accepts(("127.0.0.1", port)))
    wait_until(lambda: "RUNNING" in supervisord.control("status", "mailworker"), "a running program")
    client = Peer.connect(("127.0.0.1", port))
    client.line()
    supervisord.control("signal", "HUP", "mailworker")
    wait_until(lambda: "reconfiguring" in supervisord.log.read_text(), "a reload")
    client.talk((b"a NOOP\r\n", b"a OK completed\r\n"))
    client.close()
    assert "stopped" in supervisord.control("stop", "mailworker")
    assert "STOPPED" in supervisord.control("status", "mailworker")
    assert not accepts(("127.0.0.1", port))
