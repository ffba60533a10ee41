from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailworker.process.system.service_manager import TURN, ServiceManager, Turn


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.setblocking(False)
        yield listening


def heard(manager: socket.socket) -> list[str]:
    """All assignments that came."""
    lines = []
    while True:
        try:
            lines += manager.recv(4096).decode().split("\n")
        except BlockingIOError:
            return lines


def test_each_state_is_told(manager: socket.socket, path: str) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": path})
    service.ready("Fine")
    assert heard(manager) == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=Fine"]
    service.reloading()
    reloading, clock, _ = heard(manager)
    assert reloading == "RELOADING=1"
    assert clock.removeprefix("MONOTONIC_USEC=").isdecimal()
    service.stopping()
    assert heard(manager)[0] == "STOPPING=1"


def test_an_abstract_name_is_found() -> None:
    name = f"mailworker-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).stopping()
        assert heard(listening)[0] == "STOPPING=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nonexistent/socket"}])
def test_without_a_listener_nothing_happens(manager: socket.socket, environment: dict[str, str]) -> None:
    service = ServiceManager(environment)
    service.ready("Fine")
    service.stopping()
    assert heard(manager) == []


def test_the_watchdog_is_fed_twice_in_its_time(manager: socket.socket, path: str) -> None:
    planned: list[tuple[float, Callable[[], None]]] = []
    environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    ServiceManager(environment).keep_alive(lambda seconds, action: planned.append((seconds, action)))
    assert heard(manager) == ["WATCHDOG=1"]
    ((seconds, action),) = planned
    assert seconds == 1.5
    action()
    assert heard(manager) == ["WATCHDOG=1"]
    assert len(planned) == 2


@pytest.mark.parametrize(
    "watchdog",
    [
        {},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "9" * 5000},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_watchdog_nobody_is_fed(manager: socket.socket, path: str, watchdog: dict[str, str]) -> None:
    planned: list[float] = []
    ServiceManager({"NOTIFY_SOCKET": path, **watchdog}).keep_alive(lambda seconds, action: planned.append(seconds))
    assert (heard(manager), planned) == ([], [])


def test_a_new_binary_is_silent_until_it_is_given_the_turn(manager: socket.socket, path: str) -> None:
    turn = Turn()
    with turn.announced() as announcement:
        environment = {"NOTIFY_SOCKET": path, TURN: str(os.dup(int(announcement[TURN])))}
    new = ServiceManager(environment)
    new.ready("Fine")
    assert heard(manager) == []
    old = ServiceManager({"NOTIFY_SOCKET": path})
    old.hand_over(4711)
    old.ready("Fine")
    assert [line for line in heard(manager) if not line.startswith("STATUS=")] == ["MAINPID=4711", "WATCHDOG=1"]
    turn.give()
    new.ready("Fine")
    new.stopping()
    assert heard(manager)[:2] == ["READY=1", f"MAINPID={os.getpid()}"]
    turn.close()


def test_a_new_binary_speaks_where_its_old_master_is_gone(manager: socket.socket, path: str) -> None:
    turn = Turn()
    with turn.announced() as announcement:
        new = ServiceManager({"NOTIFY_SOCKET": path, TURN: str(os.dup(int(announcement[TURN])))})
    turn.close()
    new.ready("Fine")
    assert heard(manager)[0] == "READY=1"


def test_a_new_binary_of_a_master_with_a_thousand_sockets_speaks(
    manager: socket.socket, path: str, beyond_select: int
) -> None:
    ours, low = socket.socketpair()
    with low:
        turn = fcntl.fcntl(low, fcntl.F_DUPFD, beyond_select)
    service = ServiceManager({"NOTIFY_SOCKET": path, TURN: str(turn)})
    service.ready("new")
    assert heard(manager) == []
    ours.close()
    service.ready("new")
    assert heard(manager)[0] == "READY=1"


@pytest.mark.parametrize("value", ["", "x", "-1", "99999", "9" * 18, "9" * 5000, "²"])
def test_a_turn_that_is_none_silences_nobody(manager: socket.socket, path: str, value: str) -> None:
    ServiceManager({"NOTIFY_SOCKET": path, TURN: value}).stopping()
    assert heard(manager)[0] == "STOPPING=1"
