from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mailworker.model import InetAddress, UnixAddress
from mailworker.process.handover.inheritance import Inheritance, announce
from tests.support.recorded_log import RecordedLog

Lend = Callable[[socket.socket], int]


@pytest.fixture
def lend() -> Iterator[Lend]:
    """Duplicates sockets into descriptors as if they had been inherited."""
    descriptors: list[int] = []

    def duplicate(original: socket.socket) -> int:
        descriptors.append(os.dup(original.fileno()))
        os.set_inheritable(descriptors[-1], True)
        return descriptors[-1]

    yield duplicate
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            continue  # closed by the test


def test_nothing_is_inherited_by_default() -> None:
    log = RecordedLog()
    inheritance = Inheritance.receive({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, log.log)
    assert inheritance == Inheritance((), from_master=False)
    assert log.lines == []


def test_sockets_of_an_old_master_are_taken_over(lend: Lend, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.create_server(("127.0.0.1", 0)) as first, socket.socket(socket.AF_UNIX) as second:
        second.bind(path)
        second.listen()
        descriptors = [lend(first), lend(second)]
        value = "".join(f"{descriptor};" for descriptor in descriptors)
        log, environment = RecordedLog(), {"MAILWORKER": value, "TZ": "UTC"}
        inheritance = Inheritance.receive(environment, log.log)
        port = first.getsockname()[1]
    assert environment == {"TZ": "UTC"}
    assert inheritance.from_master
    assert [listener.address for listener in inheritance.listeners] == [
        InetAddress("127.0.0.1", port),
        UnixAddress(path),
    ]
    assert announce(inheritance.listeners) == value
    for listener in inheritance.listeners:
        assert not listener.socket.get_inheritable()
        assert not listener.socket.getblocking()
        assert not listener.borrowed
        listener.socket.detach()
    assert log.lines == [f'[notice] using inherited sockets from "{value}"']


NINES = "9" * 19


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("", []),
        (
            "x;",
            ['[emerg] invalid socket number "x" in MAILWORKER environment variable, ignoring the rest of the variable'],
        ),
        (
            ";",
            ['[emerg] invalid socket number "" in MAILWORKER environment variable, ignoring the rest of the variable'],
        ),
        ("7000", ['[emerg] invalid socket number "7000" in MAILWORKER environment variable, ignoring']),
        ("7000;", ["[crit] getsockname() of the inherited socket #7000 failed (9: Bad file descriptor)"]),
        (
            f"{NINES};",
            [
                f'[emerg] invalid socket number "{NINES}" in MAILWORKER environment variable, '
                "ignoring the rest of the variable"
            ],
        ),
        (
            f"{NINES[1:]};",
            [f"[crit] getsockname() of the inherited socket #{NINES[1:]} failed (9: Bad file descriptor)"],
        ),
        ("99999999999;", ["[crit] getsockname() of the inherited socket #99999999999 failed (9: Bad file descriptor)"]),
    ],
)
def test_what_is_no_socket_is_passed_over(value: str, lines: list[str]) -> None:
    log = RecordedLog()
    inheritance = Inheritance.receive({"MAILWORKER": value}, log.log)
    assert inheritance == Inheritance((), from_master=True)
    assert log.lines == [f'[notice] using inherited sockets from "{value}"', *lines]


def test_a_datagram_socket_is_passed_over(lend: Lend) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as datagrams:
        descriptor = lend(datagrams)
    log = RecordedLog()
    assert Inheritance.receive({"MAILWORKER": f"{descriptor};"}, log.log).listeners == ()
    assert log.lines[1:] == [f"[crit] the inherited socket #{descriptor} has an unsupported protocol family, ignored"]


def test_sockets_that_nobody_listens_on_are_closed(lend: Lend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        value = f"{lend(listening)};"
        port = listening.getsockname()[1]
    log = RecordedLog()
    inheritance = Inheritance.receive({"MAILWORKER": value}, log.log)
    inheritance.close_unused([], log.log)
    assert inheritance.listeners[0].socket.fileno() == -1
    assert log.lines[1:] == [f"[notice] closing the inherited socket of 127.0.0.1:{port}, which is not listened on"]
