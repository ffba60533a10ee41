"""The real binary, and what its status process shows of it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from mailworker.tls.folder import STATES
from tests.process.shown import Shown
from tests.process.tls.folders import put
from tests.support.certificates import CertificateAuthority, ecdsa_key
from tests.support.daemon import find_program, wait_until
from tests.support.patience import PATIENCE
from tests.support.ports import Ports
from tests.support.process import GREETING, configuration, has_ended, visit

Start = Callable[..., Shown]


@pytest.fixture
def start(folder: Path, port: int, ports: Ports) -> Iterator[Start]:
    made: list[Shown] = []

    def start(main: str = "", block: str = "", **blocks: str) -> Shown:
        status = ports["status"]
        text = f"worker_processes 2; status {{ listen 127.0.0.1:{status}; {block} }} {main}"
        shown = Shown(folder, configuration(port, main=text, **blocks))
        shown.status = status
        made.append(shown)
        shown.start()
        shown.await_workers(2)
        shown.await_status_process()
        return shown

    yield start
    for each in made:
        each.stop()


def test_it_shows_what_happens_behind_its_fence(start: Start, port: int) -> None:
    shown = start("worker_sandbox on;")
    visit(port, 5)
    shown.await_true(lambda: shown.total("sessions_total", server=f"127.0.0.1:{port}") == 5, "five sessions")
    assert shown.total("connections_accepted_total") == 5
    assert shown.total("connections") == 0
    assert shown.total("workers") == 2
    assert [shown.get(path)[0] for path in ("/healthz", "/readyz", "/livez", "/nothing")] == [200, 200, 200, 404]
    assert shown.get("/readyz", host="evil.example")[0] == 421
    workers = {worker["pid"] for worker in shown.tree()["workers"]}
    assert workers == set(shown.await_workers(2))


def old_files(shown: Shown) -> set[str]:
    """The files with "old" in their names that any process has open."""
    master = psutil.Process(shown.pid)
    names = set[str]()
    for process in (master, *master.children()):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            names.update(Path(file.path).name for file in process.open_files())
    return {name for name in names if name.startswith("old")}


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_a_rotation_leaves_no_process_an_old_file(start: Start, folder: Path, sandbox: str) -> None:
    users = folder / "users"
    users.touch(0o600)
    source = f"auth_user_file {users}; proxy_pass 127.0.0.1:9;"
    shown = start(f"worker_sandbox {sandbox};", mail="access_log logs/access.log;", server=source)
    for name in ("access", "error"):
        (folder / "logs" / f"{name}.log").rename(folder / "logs" / f"old-{name}.log")
    assert old_files(shown) == {"old-access.log", "old-error.log"}
    shown.signal(signal.SIGUSR1)
    shown.await_true(lambda: not old_files(shown), "all to close the old files")
    shown.await_true((folder / "logs" / "error.log").exists, "a new log")
    assert shown.lines(r"\[(emerg|alert)\]") == []


def test_rules_decide_who_is_answered(start: Start) -> None:
    shown = start(block="allow 192.0.2.1; deny all;")
    assert shown.get("/metrics")[0] == 403


def test_there_is_no_status_process_without_the_block(folder: Path, port: int) -> None:
    shown = Shown(folder, configuration(port))
    shown.start()
    try:
        shown.await_workers(1)
        assert len(psutil.Process(shown.pid).children()) == 1
    finally:
        shown.stop()


def test_it_is_small_and_sleeps_until_somebody_asks(start: Start) -> None:
    shown = start()
    shown.get("/metrics")
    shown.get("/metrics")
    process = shown.await_status_process()
    wait_until(lambda: {each.status for each in process.net_connections("tcp")} == {psutil.CONN_LISTEN}, "quiet")
    assert process.memory_full_info().pss < 40 << 20
    assert process.num_threads() == 1
    traced = subprocess.run(
        ["timeout", "-s", "INT", "1.5", find_program("strace"), "-f", "-o", "/dev/stdout", "-p", str(process.pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    calls = [line for line in traced.stdout.splitlines() if "epoll_" not in line and "detached" not in line]
    assert calls == []


def test_workers_have_the_processor_before_it(start: Start) -> None:
    shown = start()
    assert shown.await_status_process().nice() == min(psutil.Process(shown.pid).nice() + 10, 19)
    assert {worker.nice() for worker in shown.workers()} == {psutil.Process(shown.pid).nice()}


def test_it_runs_as_the_user_of_workers(start: Start) -> None:
    shown = start()
    worker, *_ = shown.await_workers(2)
    assert shown.await_status_process().uids() == psutil.Process(worker).uids()


def test_workers_cannot_answer_in_its_place(start: Start) -> None:
    shown = start()
    for pid in shown.await_workers(2):
        assert not [each for each in psutil.Process(pid).net_connections() if each.laddr[1] == shown.status]
    assert not [each for each in shown.await_status_process().net_connections() if each.laddr[1] != shown.status]


def test_a_killed_one_is_replaced_and_knows_all(start: Start, port: int) -> None:
    shown = start()
    shown.alerts.append("status process .* exited on signal 9$")
    visit(port, 3)
    process = shown.await_status_process()
    process.kill()
    shown.await_status_process(without=process.pid)
    shown.await_true(lambda: shown.total("sessions_total") == 3, "three sessions")


def await_generation(shown: Shown, number: int) -> None:
    shown.await_true(lambda: shown.tree()["generation"] == number, "the reload")


def await_respawns(shown: Shown, count: int) -> None:
    shown.await_true(lambda: shown.total("worker_respawns_total", reason="signal") == count, "the respawn")


def try_to_visit(port: int) -> int:
    """One where the client was greeted, 0 where its worker was killed before that."""
    try:
        visit(port)
    except (ConnectionError, AssertionError):
        return 0
    return 1


def test_totals_never_fall_and_gauges_never_leak_when_workers_are_killed(start: Start, port: int) -> None:
    shown = start()
    shown.alerts.append("worker process .* exited on signal 9$")
    chance, last, visited, killed = random.Random(11), 0.0, 0, 0
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    for client in held:
        assert client.recv(100) == GREETING
    assert shown.total("connections") == 10
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        if chance.random() < 0.1:
            os.kill(chance.choice(shown.await_workers(2)), signal.SIGKILL)
            killed += 1
            await_respawns(shown, killed)
        else:
            visited += try_to_visit(port)
        total = shown.total("connections_accepted_total")
        assert total >= last
        last = total
    for pid in shown.await_workers(2):
        os.kill(pid, signal.SIGKILL)
    await_respawns(shown, killed + 2)
    assert shown.total("connections") == 0
    assert shown.total("connections_accepted_total") >= visited + 10
    for client in held:
        client.close()


def test_no_request_is_refused_and_no_total_falls_over_reloads(start: Start, port: int, ports: Ports) -> None:
    shown = start()
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert held.recv(100) == GREETING
        failures: list[Exception] = []
        asked, over = 0, threading.Event()

        def ask() -> None:
            nonlocal asked
            last = 0.0
            while not over.is_set():
                try:
                    total = shown.total("connections_accepted_total")
                    assert total >= last
                    last = total
                    asked += 1
                except Exception as error:
                    failures.append(error)

        asker = threading.Thread(target=ask)
        asker.start()
        for number in range(4):
            visit(port, 3)
            server = f"server {{ listen 127.0.0.1:{ports[f'reload {number}']}; protocol pop3; }}" if number % 2 else ""
            text = (shown.folder / "conf" / "mailworker.conf").read_text()
            (shown.folder / "conf" / "mailworker.conf").write_text(text.replace("mail {", f"mail {{ {server}", 1))
            shown.signal(signal.SIGHUP)
            await_generation(shown, number + 2)
            shown.await_true(lambda: len(shown.status_processes()) == 1, "the end of the former status process")
        over.set()
        asker.join()
        assert failures == []
        assert asked > 4
        assert shown.total("connections_accepted_total") == 13
        assert shown.total("connections") == 1
        assert shown.total("config_reloads_total", result="success") == 4
        assert shown.tree()["generation"] == 5
    shown.await_true(lambda: shown.total("connections") == 0, "the end of the session")


def test_a_reload_that_fails_is_told_of(start: Start) -> None:
    shown = start()
    shown.alerts.append("unknown directive")
    (shown.folder / "conf" / "mailworker.conf").write_text("nonsense;")
    shown.signal(signal.SIGHUP)
    shown.await_true(lambda: shown.total("config_reloads_total", result="failure") == 1, "the failure")
    assert shown.total("config_last_reload_successful") == 0


def test_it_is_not_ready_from_the_moment_of_quit_and_stays_until_the_last_session_ends(start: Start, port: int) -> None:
    shown = start()
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert held.recv(100) == GREETING
        assert shown.get("/readyz")[0] == 200
        shown.signal(signal.SIGQUIT)
        shown.await_true(lambda: shown.get("/readyz") == (503, b"draining\n"), "the end of readiness")
        assert shown.get("/healthz")[0] == 200
        assert shown.total("connections") == 1
    assert shown.await_exit() == 0


def test_a_unix_socket_goes_with_the_master(start: Start, folder: Path, port: int) -> None:
    shown = start(block=f"listen unix:{folder}/status.sock;")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(f"{folder}/status.sock")
        client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert held.recv(100) == GREETING
        shown.signal(signal.SIGQUIT)
        shown.await_true(lambda: shown.get("/readyz")[0] == 503, "the end of readiness")
        assert (folder / "status.sock").exists()
    assert shown.await_exit() == 0
    assert not (folder / "status.sock").exists()


def test_garbage_and_crowds_are_nothing_to_mail(start: Start, port: int) -> None:
    shown = start()
    crowd = [socket.create_connection(("127.0.0.1", shown.status)) for _ in range(300)]
    for number, client in enumerate(crowd):
        try:
            client.sendall(random.Random(number).randbytes(9000))
        except ConnectionError:
            continue
    visit(port, 5)
    assert shown.get("/readyz")[0] == 200
    for client in crowd:
        client.close()
    wait_until(lambda: shown.total("sessions_total") == 5, "all sessions")


def await_answers_of(shown: Shown, master: int) -> None:
    """Until it is the status process of this master that answers."""

    def answers() -> bool:
        return {worker["pid"] for worker in shown.tree()["workers"]} == {each.pid for each in shown.workers(master)}

    shown.await_true(answers, "its answers")


def sessions(shown: Shown) -> float:
    return shown.total("sessions_total")


def test_a_new_binary_goes_on_with_the_numbers_of_the_old_one_and_answers_alone(start: Start, port: int) -> None:
    shown = start()
    visit(port, 3)
    shown.await_true(lambda: sessions(shown) == 3, "three sessions")
    with socket.create_connection(("127.0.0.1", port)) as held:
        assert held.recv(100) == GREETING
        old, new = shown.upgrade()
        await_answers_of(shown, new)
        visit(port, 4)
        shown.await_true(lambda: sessions(shown) == 7, "the sessions of both")
        for _ in range(30):
            assert sessions(shown) == 7
            assert shown.total("connections") == 1
        os.kill(old, signal.SIGQUIT)
    wait_until(lambda: has_ended(old), "its end")
    assert sessions(shown) == 8
    assert shown.get("/readyz")[0] == 200


def test_an_old_binary_answers_again_when_the_new_one_ends(start: Start, port: int) -> None:
    shown = start()
    visit(port, 3)
    old, new = shown.upgrade()
    await_answers_of(shown, new)
    shown.await_true(lambda: sessions(shown) == 3, "three sessions")
    os.kill(new, signal.SIGTERM)
    wait_until(lambda: not psutil.pid_exists(new), "its end")
    shown.await_true(lambda: not shown.old_pid_file.exists(), "the old one's return")
    visit(port)
    shown.await_true(lambda: sessions(shown) >= 4, "four sessions")
    await_answers_of(shown, old)


def test_certificates_of_directories_are_counted_as_they_change(start: Start, folder: Path, ports: Ports) -> None:
    authority, certs = CertificateAuthority(folder), folder / "certs"
    for name, validity in (("a", timedelta(days=90)), ("b", timedelta(days=-1))):
        put(authority.issue_server(name, ecdsa_key(), (f"{name}.example",), validity=validity), certs, f"{name}.pem")
    server = f"listen 127.0.0.1:{ports['tls']} ssl; ssl_certificate_directory {certs}; server_name a.example;"
    shown = start("worker_sandbox on;", server=server)
    named = {"directory": str(certs)}

    def counts() -> list[float]:
        found = [shown.total("tls_directory_certificates", **named, state=state) for state in STATES]
        return [*found, shown.total("tls_directory_faulty_files", **named)]

    assert counts() == [1, 0, 1, 0, 0]
    assert shown.total("tls_directory_first_expiry_seconds", **named) < time.time()
    short = authority.issue_server("c", ecdsa_key(), ("b.example",), validity=timedelta(hours=1))
    put(short, certs, "c.pem")
    (certs / "d.pem").write_text("nothing")
    shown.await_true(lambda: counts() == [1, 1, 0, 1, 1], "what has changed")
    assert shown.total("tls_directory_first_expiry_seconds", **named) > time.time()
    for name in ("a", "b", "c", "d"):
        (certs / f"{name}.pem").unlink()
    shown.await_line(r"\[warn\] .*/certs\" has no files any more, its certificates stay as they were")
    shown.await_true(lambda: counts() == [1, 1, 0, 1, 2], "what stays")
