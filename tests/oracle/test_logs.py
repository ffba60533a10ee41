"""Every kind of `error_log`: a real nginx and mailworker write the same records to it."""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.oracle.case import Case, Send, case, headers
from tests.oracle.configuration import Server
from tests.oracle.proxies import mailworker, nginx
from tests.oracle.stage import CLIENT, CONTROL_SERVER, Stage, two_stages
from tests.support.daemon import ServerUnavailable

pytestmark = pytest.mark.oracle

_UDP, _UNIX = "error_log syslog:server=127.0.0.1:$udp", "error_log syslog:server=unix:$socket"

SERVERS = {
    CONTROL_SERVER: Server("error_log /dev/null;"),
    "imap-own": Server("error_log own.log info;"),
    "imap-quiet": Server("error_log own.log error;"),
    "imap-default": Server("error_log own.log;"),
    "imap-two": Server("error_log own.log info; error_log second.log notice; error_log third.log debug;"),
    "imap-udp": Server(f"{_UDP} info;"),
    "imap-dressed": Server(f"{_UDP},facility=mail,tag=mail_proxy,severity=debug info;"),
    "imap-nameless": Server(f"{_UDP},nohostname,facility=local0 info;"),
    "imap-unix": Server(f"{_UNIX},tag=t,facility=authpriv info;"),
    "imap-unixquiet": Server(f"{_UNIX};"),
    "imap-all": Server(f"error_log own.log info; {_UNIX} info; {_UDP},facility=kern info;"),
    "imap-stderr": Server("error_log stderr info;"),
}
# What every level of a session has: the connection, a complaint of the client's, an error of the service's.
LOGIN, WRONG = Send(b"a LOGIN user pass\r\n"), Send(b"a AUTHENTICATE PLAIN !\r\n")
CASES = [
    case("records", name, WRONG, LOGIN, auth=headers("Auth-Status: OK", "Auth-Server: x", "Auth-Port: 1"))
    for name in SERVERS
    if name != CONTROL_SERVER
]

_STAMP = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\[[a-z]+\]) \d+#\d+: \*\d+")
_HEADER = re.compile(r"^(<\d+>)[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ")
_PORT = re.compile(r"(client [\d.]+):\d+ ")


@pytest.fixture(scope="module")
def datagrams() -> Iterator[dict[str, socket.socket]]:
    """Syslog servers that workers of any user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="oracle-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        servers = {}
        for name, family, address in (
            ("udp", socket.AF_INET, ("127.0.0.1", 0)),
            ("unix", socket.AF_UNIX, f"{folder}/s"),
        ):
            servers[name] = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            servers[name].bind(address)
            servers[name].setblocking(False)
        (folder / "s").chmod(0o777)
        yield servers


@pytest.fixture(scope="module")
def stages(datagrams: dict[str, socket.socket]) -> Iterator[tuple[Stage, Stage]]:
    port, path = datagrams["udp"].getsockname()[1], datagrams["unix"].getsockname()
    try:
        with two_stages(nginx, mailworker, SERVERS, udp=port, socket=path) as stages:
            yield stages
    except ServerUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.server)
def test_the_records_are_the_same(case: Case, stages: tuple[Stage, Stage], datagrams: dict[str, socket.socket]) -> None:
    theirs, ours = (_records(stage, case, datagrams) for stage in stages)
    assert ours == theirs


def _records(stage: Stage, case: Case, datagrams: dict[str, socket.socket]) -> dict[str, list[str]]:
    """What comes where."""
    names = ("error.log", "own.log", "second.log", "third.log", "output")
    files = [stage.folder / name for name in names]
    before = {path: path.stat().st_size for path in files if path.exists()}
    stage.play(case)
    found = {path.name: _behind(path, size) for path, size in before.items()}
    found |= {name: _received(listening) for name, listening in datagrams.items()}
    return {name: [stage.masked(_masked(line)) for line in lines if CLIENT in line] for name, lines in found.items()}


def _behind(path: Path, size: int) -> list[str]:
    """Without debugging, which is each one's own affair."""
    return [line for line in path.read_text()[size:].splitlines() if " [debug] " not in line]


def _received(listening: socket.socket) -> list[str]:
    received: list[str] = []
    while True:
        try:
            received.append(listening.recv(4096).decode())
        except BlockingIOError:
            return received


def _masked(line: str) -> str:
    line = _HEADER.sub(r"\1TIME ", _STAMP.sub(r"STAMP \1", _PORT.sub(r"\1:PORT ", line)))
    return line.replace(" nginx: ", " NAME: ").replace(" mailworker: ", " NAME: ")
