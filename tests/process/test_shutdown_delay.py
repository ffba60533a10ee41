"""`shutdown_delay`: a balancer learns that we stop before clients do."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import Signals

import pytest

from tests.process.shown import Shown
from tests.support.daemon import Daemon, accepts, find_program, wait_until
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import GREETING, configuration, greeting

Start = Callable[..., Shown]


@pytest.fixture
def start(folder: Path, ports: Ports) -> Iterator[Start]:
    made: list[Shown] = []

    def start(name: str, delay: str, main: str = "") -> Shown:
        (folder / name).mkdir()
        status, port = ports[f"{name} status"], ports[name]
        text = f"shutdown_delay {delay}; status {{ listen 127.0.0.1:{status}; }} {main}"
        shown = Shown(folder / name, configuration(port, main=text))
        shown.status = status
        made.append(shown)
        shown.start()
        shown.await_true(lambda: accepts(("127.0.0.1", port)), "a listener")
        return shown

    yield start
    for each in made:
        each.stop()


def test_clients_are_accepted_while_probes_are_told_that_we_stop(start: Start, ports: Ports) -> None:
    shown = start("a", "1s")
    shown.await_workers(1)
    shown.await_status_process()
    shown.signal(signal.SIGQUIT)
    shown.await_line(r"\[notice\] .*: accepting for 1000ms more$")
    shown.await_true(lambda: shown.get("/readyz") == (503, b"draining\n"), "the end of readiness")
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", ports["a"])) as client:
        assert client.recv(100) == GREETING
        shown.await_true(lambda: not accepts(("127.0.0.1", ports["a"])), "the end of listening")
        assert time.monotonic() - began < PATIENCE
        client.sendall(b"a NOOP\r\n")
        assert client.recv(100) == b"a OK completed\r\n"
    assert shown.await_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("master", ["on", "off"])
def test_a_second_signal_ends_the_delay(start: Start, number: Signals, master: str) -> None:
    shown = start("a", "1h", f"master_process {master};")
    shown.signal(signal.SIGQUIT)
    shown.await_line("accepting for 3600000ms more$")
    shown.signal(signal.SIGHUP)
    shown.signal(number)
    assert shown.await_exit() == 0
    assert not shown.lines("reconfiguring")[1:]


def test_a_worker_that_dies_meanwhile_is_replaced(start: Start, ports: Ports) -> None:
    shown = start("a", "1h")
    worker, *_ = shown.await_workers(1)
    shown.signal(signal.SIGQUIT)
    shown.await_line("accepting for 3600000ms more$")
    shown.workers()[0].send_signal(signal.SIGQUIT)  # as a service manager sends it to all processes
    shown.await_workers(1, without=[worker])
    assert greeting(ports["a"]) == GREETING
    assert shown.get("/readyz")[0] == 503


def test_no_client_is_lost_behind_a_balancer_that_probes(start: Start, folder: Path, ports: Ports) -> None:
    servers = {name: start(name, "1h") for name in ("a", "b")}
    for each in servers.values():
        each.await_workers(1)
        each.await_status_process()
    lines = "".join(
        f"    server {name} 127.0.0.1:{ports[name]} check port {each.status} inter 100 fall 1 rise 1\n"
        for name, each in servers.items()
    )
    (folder / "haproxy.cfg").write_text(
        "global\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 10s\n    timeout client 60s\n"
        "    timeout check 10s\n"  # else a probe that is answered later than after `inter` counts as refused
        f"    timeout server 60s\nlisten mail\n    bind 127.0.0.1:{ports['balancer']}\n    option httpchk GET /readyz\n"
        f"    http-check send hdr Host localhost\n    retries 0\n{lines}"
    )
    balancer = Daemon([find_program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")], folder / "haproxy.output")
    balancer.await_ready(lambda: accepts(("127.0.0.1", ports["balancer"])))
    failures: list[Exception] = []
    visits, over = [0, 0], threading.Event()

    def visit(number: int) -> None:
        while not over.is_set():
            try:
                assert greeting(ports["balancer"]) == GREETING
                visits[number] += 1
            except Exception as error:
                failures.append(error)

    def await_visits() -> None:
        """Ten of each visitor, so most of them begun from now on."""
        seen = list(visits)
        wait_until(lambda: all(now > then + 10 for now, then in zip(visits, seen, strict=True)), "visits")

    visitors = [threading.Thread(target=visit, args=[number]) for number in range(2)]
    for visitor in visitors:
        visitor.start()
    try:
        await_visits()
        servers["a"].signal(signal.SIGQUIT)
        wait_until(lambda: "Server mail/a is DOWN" in balancer.output.read_text(), "a probe that was told")
        await_visits()  # which HAProxy began before that
        servers["a"].signal(signal.SIGQUIT)
        assert servers["a"].await_exit() == 0
        await_visits()
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
        balancer.stop()
    assert failures == []
