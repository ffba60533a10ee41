"""Every form of a `listen` address: a real nginx and mailworker serve the same block at the same place."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from pathlib import Path
from string import Template

import pytest

from tests.oracle.proxies import Start, mailworker, nginx
from tests.support.daemon import ServerUnavailable, wait_until
from tests.support.ports import Ports

pytestmark = pytest.mark.oracle

# The greeting tells the protocol, so the block.
CONFIGURATION = """\
worker_processes 1;
error_log error.log info;
pid proxy.pid;
events { }
mail {
    server_name proxy.test;
    auth_http 127.0.0.1:9;
    server { listen *:$shared; protocol imap; }
    server { listen 127.0.0.1:$shared; protocol pop3; }
    server { listen 127.0.0.5:$shared; protocol smtp; }
    server { listen $bare; protocol pop3; }
    server { listen 127.0.0.1:$first; listen 127.0.0.2:$first bind; protocol imap; }
    server { listen localhost:$named; protocol pop3; }
    server { listen [::1]:$six; protocol imap; }
    server { listen [::]:$dual ipv6only=off; protocol smtp; }
    server { listen 127.0.0.1:$ranged-$ranged; protocol smtp; }
    server { listen 127.0.0.1:$dressed backlog=7 rcvbuf=16k sndbuf=16k so_keepalive=5m:10:3 bind; protocol imap; }
}
"""
PLACES = [
    ("127.0.0.1", "shared"), ("127.0.0.5", "shared"), ("127.0.0.9", "shared"), ("127.0.0.1", "bare"),
    ("127.0.0.7", "bare"), ("127.0.0.1", "first"), ("127.0.0.2", "first"), ("127.0.0.3", "first"),
    ("127.0.0.1", "named"), ("::1", "six"), ("127.0.0.1", "six"), ("127.0.0.1", "dual"), ("::1", "dual"),
    ("127.0.0.1", "ranged"), ("127.0.0.1", "dressed"),
]  # fmt: skip

NOBODY = "nobody"

_CONNECTED = re.compile(r"client (\S+):\d+ (connected to .*)")


def test_each_address_leads_to_the_same_block(tmp_path: Path) -> None:
    ports = Ports("::")  # of both versions
    for name in ("shared", "bare", "first", "named", "six", "dual", "ranged", "dressed"):
        assert ports[name]
    try:
        theirs = _places(nginx, tmp_path / "a", ports)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    ours = _places(mailworker, tmp_path / "b", ports)
    ports.close()
    assert ours == theirs
    assert ours["127.0.0.3 first"] == NOBODY


def _places(start: Start, folder: Path, ports: Ports) -> dict[str, str]:
    """What is found at each place, and what the log calls it."""
    folder.mkdir()
    log = folder / "error.log"
    text = Template(CONFIGURATION).substitute(ports)
    found = {}
    with ExitStack() as stack:
        stack.callback(start(folder, text, [("127.0.0.1", ports["dressed"])]).stop)
        _told(log, 0)  # of the connection that showed that it listens
        for host, name in PLACES:
            before = len(log.read_text())
            greeting = _greeting(host, ports[name])
            found[f"{host} {name}"] = greeting if greeting == NOBODY else f"{greeting}{_told(log, before)}"
    return found


def _told(log: Path, before: int) -> str:
    """The connection that a log tells of, once it does."""
    wait_until(lambda: bool(_CONNECTED.search(log.read_text()[before:])), "a record")
    return " / ".join(" ".join(match) for match in _CONNECTED.findall(log.read_text()[before:]))


def _greeting(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), 20.0) as connection:
            return connection.recv(100).decode()
    except ConnectionRefusedError:
        return NOBODY
