"""Names of clients, looked up by a real worker behind its fence."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mailworker.process.system import sandbox
from tests.process.conftest import Install
from tests.support.name_server import NameServer, records
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import GREETING, greeting

PTR = "1.0.0.127.in-addr.arpa"


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server that knows nothing but 127.0.0.1."""
    server = NameServer(
        {
            f"{PTR} PTR": records((PTR, 60, "PTR", "host.example.")),
            "host.example A": records(("host.example", 60, "A", "127.0.0.1")),
        }
    )
    yield server
    server.stop()


@pytest.fixture
def text(ports: Ports, server: NameServer) -> str:
    fence = "worker_sandbox on;" if sandbox.is_supported() else ""
    return f"""
        error_log logs/error.log info;
        {fence}
        events {{ worker_connections 100; }}
        mail {{
            server_name mail.example;
            auth_http 127.0.0.1:9/;
            resolver {server.address};
            resolver_timeout 1s;
            server {{ listen 127.0.0.1:{ports["smtp"]}; protocol smtp; }}
            server {{ listen 127.0.0.1:{ports["imap"]}; protocol imap; }}
        }}
    """


def test_a_name_is_found(install: Install, ports: Ports, server: NameServer, text: str) -> None:
    mailworker = install(text)
    mailworker.start()
    assert greeting(ports["smtp"]) == b"220 mail.example ESMTP ready\r\n"
    assert server.questions == [f"{PTR} PTR", "host.example A"]
    assert mailworker.lines(r"\[error\]") == []


def test_eighty_clients_whose_names_nobody_tells_are_greeted_with_a_hundred_connections(
    install: Install, ports: Ports, server: NameServer, text: str
) -> None:
    """And another protocol is served meanwhile."""
    mailworker = install(text)
    mailworker.start()
    sources = [f"127.0.1.{i}" for i in range(1, 81)]
    for i in range(1, 81):
        server.answers[f"{i}.1.0.127.in-addr.arpa PTR"] = lambda query: []
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", ports["smtp"]), timeout=PATIENCE, source_address=(source, 0))
            )
            for source in sources
        ]
        assert greeting(ports["imap"]) == GREETING
        assert [client.recv(4096) for client in clients] == [b"220 mail.example ESMTP ready\r\n"] * 80
    assert len(mailworker.lines("could not be resolved .110: Operation timed out.")) == 80
