"""What `-t` does to the world: it removes and empties nothing, and makes only what nginx's makes."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.oracle.verdicts import MODULE, NGINX
from tests.process.conftest import Install
from tests.support.ports import Ports
from tests.support.process import Mailworker

# Names that another program may have bound already, and in which way.
STATES = ("listening", "bound", "datagram", "stale", "file", "link")


def configuration(folder: Path, port: int, sockets: tuple[str, ...] = STATES) -> str:
    servers = "".join(f"server {{ listen unix:{folder}/{name}; protocol imap; }}" for name in sockets)
    return f"""
        error_log logs/error.log info;
        error_log logs/other.log;
        pid logs/run.pid;
        lock_file logs/lock;
        working_directory {folder};
        events {{ }}
        mail {{
            auth_http 127.0.0.1:9/;
            error_log logs/mail.log;
            ssl_session_cache shared:zone:1m;
            {servers}
            server {{ listen 127.0.0.1:{port}; protocol imap; }}
        }}
    """


@pytest.fixture
def occupied(folder: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        for name in ("listening", "bound", "stale"):
            made = stack.enter_context(socket.socket(socket.AF_UNIX))
            made.bind(str(folder / name))
            if name == "listening":
                made.listen()
            elif name == "stale":
                made.close()
        stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(str(folder / "datagram"))
        (folder / "file").write_text("precious")
        (folder / "link").symlink_to(folder / "bound")
        yield folder


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below `folder`: which it is, what may be done with it, and what it holds."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_ino,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def test_a_test_removes_and_empties_nothing(install: Install, occupied: Path, port: int) -> None:
    mailworker = install(configuration(occupied, port))
    for name, content in {
        "run.pid": "1\n",
        "error.log": "old\n",
        "mail.log": "old\n",
        "other.log": "",
        "lock": "l",
    }.items():
        (occupied / "logs" / name).write_text(content)
    before = snapshot(occupied)
    for _ in range(2):
        tested = mailworker.run("-t")
        assert (tested.returncode, tested.stderr.count(b"[")) == (0, 0), tested.stderr
    assert snapshot(occupied) == before
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(occupied / "listening"))


@pytest.mark.skipif(NGINX is None or MODULE is None, reason="no nginx with a dynamic mail module here")
def test_a_test_makes_what_nginx_makes(folder: Path, ports: Ports) -> None:
    made = {}
    for program in ("nginx", "mailworker"):
        prefix = folder / program
        installed = Mailworker(prefix, configuration(prefix, ports["first"], ("a", "b")))
        before = snapshot(prefix)
        if program == "nginx":
            (prefix / "conf" / "mailworker.conf").write_text(
                f"load_module {MODULE};" + configuration(prefix, ports["first"], ("a", "b"))
            )
            arguments = ["-e", "logs/error.log", "-c", "conf/mailworker.conf"]
            subprocess.run([str(NGINX), "-t", "-p", str(prefix), *arguments], check=True, capture_output=True)
        else:
            assert installed.run("-t").returncode == 0
        made[program] = snapshot(prefix).keys() - before.keys()
        shutil.rmtree(prefix)
    assert made["mailworker"] == made["nginx"] == {"logs/error.log", "logs/other.log", "logs/mail.log", "logs/run.pid"}
