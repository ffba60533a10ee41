"""Sessions of the real binary, and what its access logs have of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from signal import Signals

import psutil
import pytest

from tests.process.logged import Logged, log_format, read
from tests.support.daemon import wait_until
from tests.support.load import Load
from tests.support.patience import PATIENCE
from tests.support.process import GREETING, configuration, established, has_ended, hold, visit

Start = Callable[..., Logged]


@pytest.fixture
def start(folder: Path, port: int) -> Iterator[Start]:
    made: list[Logged] = []

    def start(
        log: str = "access_log logs/access.log test;",
        main: str = "",
        server: str = "",
        padding: int = 0,
        wrap: Sequence[str] = (),
    ) -> Logged:
        mail = log_format(padding) + log
        logged = Logged(folder, configuration(port, main=f"worker_processes 2; {main}", mail=mail, server=server))
        logged.wrap = wrap
        made.append(logged)
        logged.start()
        if "master_process off" not in main:
            logged.await_writer()
            logged.await_workers(2)
        return logged

    yield start
    for each in made:
        each.stop()


def await_peace(logged: Logged, port: int) -> None:
    """Until no worker has a client any more."""
    logged.await_true(lambda: not any(established(each.pid, port) for each in logged.workers()), "no clients")


def test_each_session_is_a_line(start: Start, port: int) -> None:
    logged = start()
    visit(port, 10)
    lines = logged.await_lines(10)
    assert len(set(lines)) == len(lines) == 10
    assert all(re.fullmatch(r"\d+\*\d+ [a-z_]+", line) for line in lines)


def test_a_line_that_is_too_long_for_it_comes_with_a_shorter_value(start: Start, port: int) -> None:
    logged = start("access_log logs/access.log json;", server="imap_client_buffer 64k;")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(b"a LOGIN {60000+}\r\n" + b"\1" * 60000 + b" x\r\n")
        while client.recv(4096):
            pass
    (line,) = map(json.loads, logged.await_lines(1))
    assert line["status"] == 500
    assert set(line["remote_user"]) == {"\1"}
    assert len(line["remote_user"]) > 1000


def test_there_is_no_writer_without_an_access_log(start: Start, port: int, folder: Path) -> None:
    logged = Logged(folder, configuration(port))
    logged.start()
    try:
        logged.await_workers(1)
        assert logged.writers() == []
        assert len(psutil.Process(logged.pid).children()) == 1
    finally:
        logged.stop()


def test_a_buffer_is_written_in_time_when_it_is_full_and_at_the_end(start: Start, port: int) -> None:
    logged = start("access_log logs/access.log test buffer=4k flush=200ms; access_log logs/full.log test buffer=128;")
    full = logged.folder / "logs" / "full.log"
    visit(port, 20)
    logged.await_lines(20)
    written = len(read(full))
    assert 0 < written < 20
    assert full.stat().st_size <= written * 128
    logged.signal(signal.SIGQUIT)
    assert logged.await_exit() == 0
    assert len(read(full)) == 20


def test_compressed_lines_can_be_read_at_any_time(start: Start, port: int) -> None:
    logged = start("access_log logs/access.gz test gzip=9 flush=50ms;")
    path = logged.folder / "logs" / "access.gz"
    visit(port, 3)
    assert len(logged.await_lines(3, path)) == 3
    visit(port, 3)
    assert len(set(logged.await_lines(6, path))) == 6


def test_lines_of_a_killed_worker_are_written(start: Start, port: int) -> None:
    logged = start()
    logged.alerts.append("exited on signal 9$")
    writer, workers = logged.await_writer(), logged.await_workers(2)
    hold(writer)
    visit(port, 10)
    await_peace(logged, port)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    logged.await_workers(2, without=workers)
    writer.resume()
    assert len(set(logged.await_lines(10))) == 10


def test_a_killed_writer_is_replaced_and_loses_no_more_than_it_had_in_hand(start: Start, port: int) -> None:
    logged = start()
    logged.alerts.append("exited on signal 9$")
    writer, workers = logged.await_writer(), logged.await_workers(2)
    visit(port, 5)
    logged.await_lines(5)
    hold(writer)
    visit(port, 10)
    writer.kill()
    logged.await_writer(without=writer.pid)
    visit(port, 5)
    assert len(set(logged.await_lines(20))) == 20
    assert logged.await_workers(2) == workers


def test_a_writer_that_hangs_costs_lines_and_nobody_s_time(start: Start, port: int) -> None:
    logged = start(padding=100000)
    logged.alerts.append("log writer failed")
    writer = logged.await_writer()
    hold(writer)
    sessions = 0
    while not logged.lines("log writer failed"):
        visit(port)
        sessions += 1
    visit(port, 10)
    writer.resume()
    logged.signal(signal.SIGQUIT)
    assert logged.await_exit() == 0
    lost = sum(int(line.split()[-3]) for line in logged.lines("log writer failed"))
    assert logged.lines(
        r"\[alert\] .*: write\(\) to log writer failed \(11: Resource temporarily unavailable\), 1 line lost$"
    )
    assert lost
    lines = read(logged.access_log)
    assert len(lines) == sessions + 10 - lost
    assert {len(line) > 100000 for line in lines} == {True}


def test_a_pipe_that_nobody_reads_costs_lines_that_are_counted(start: Start, port: int, folder: Path) -> None:
    (folder / "logs").mkdir(exist_ok=True)
    os.mkfifo(folder / "logs" / "pipe")
    reader = os.open(folder / "logs" / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    logged = start("access_log logs/pipe test; access_log logs/access.log test;")
    logged.alerts.append("pipe. failed")
    os.set_blocking(reader, True)
    filler = os.open(folder / "logs" / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while os.write(filler, b"\n" * 4096):
            pass
    except BlockingIOError:
        pass
    visit(port, 10)
    assert len(logged.await_lines(10)) == 10
    failed = rf'\[alert\] .*: write\(\) to "{folder}/logs/pipe" failed \(11: Resource temporarily unavailable\)'
    pattern = re.compile(failed + r", (\d+) lines? lost$", re.MULTILINE)
    logged.await_true(lambda: bool(logged.lines(pattern.pattern)), "the first loss, of one line or more at once")
    os.close(filler)
    logged.signal(signal.SIGQUIT)
    assert logged.await_exit() == 0
    assert sum(map(int, pattern.findall(logged.error_log.read_text()))) == 10
    os.close(reader)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_disk_costs_whole_lines_that_are_counted(start: Start, port: int, folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    mount = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=64k,mode=777 none {disk} && exec "$@"', "sh"]
    logged = start(f"access_log {disk}/access.log test; access_log logs/access.log test;", padding=80, wrap=mount)
    logged.alerts.append("disk/access.log. failed")
    seen = Path(f"/proc/{logged.pid}/root{disk}")
    (seen / "filler").write_bytes(b"x" * (60 << 10))  # a page is left for the log
    visit(port, 60)
    logged.await_lines(60)
    assert logged.lines(r'\[alert\] .*/access.log" failed \(28: No space left on device\), \d+ lines? lost$')
    cut = (seen / "access.log").read_bytes()
    (seen / "filler").unlink()

    def writes_again() -> bool:
        visit(port)
        return (seen / "access.log").stat().st_size > len(cut) + 300

    logged.await_true(writes_again, "room")
    shown = (seen / "access.log").read_bytes()
    assert shown.startswith(cut)
    written = shown.decode().splitlines()
    logged.await_true(lambda: set(written) <= set(read(logged.access_log)), "the same lines in the other log")
    with (seen / "access.log").open("rb") as log:
        logged.signal(signal.SIGQUIT)
        assert logged.await_exit() == 0
        written = log.read().decode().splitlines()
    sessions = len(read(logged.access_log))
    lost = sum(int(line.split()[-3]) for line in logged.lines("disk/access.log. failed"))
    assert len(set(written)) == len(written) == sessions - lost


def test_a_dead_syslog_server_is_told_of_once_and_lines_go_elsewhere(start: Start, port: int, folder: Path) -> None:
    logged = start(
        f"access_log syslog:server=unix:{folder}/log,tag=m,nohostname test; access_log logs/access.log test;"
    )
    visit(port, 5)
    assert len(logged.await_lines(5)) == 5
    failed = rf"send\(\) to syslog unix:{folder}/log failed \(2: No such file or directory\)"
    assert len(logged.lines(rf"\[warn\] .*: {failed}, 1 line lost$")) == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"{folder}/log")
        (folder / "log").chmod(0o666)
        server.settimeout(PATIENCE)
        visit(port)
        assert re.fullmatch(rb"<190>\w{3} .\d \d\d:\d\d:\d\d m: \d+\*\d+ [a-z_]+", server.recv(1000))
    visit(port, 3)
    logged.await_lines(9)
    logged.signal(signal.SIGQUIT)
    assert logged.await_exit() == 0
    assert sum(int(line.split()[-3]) for line in logged.lines("send.. to syslog .* failed")) == 8


# Nothing is lost while the logs or the processes change


def sessions_of(load: Load) -> int:
    """All that a load has begun: those who stay, and those who have come and gone."""
    assert load.failures == []
    return load.logins + RELAYS


RELAYS = 4


@pytest.fixture
def load(port: int) -> Iterator[Load]:
    with Load(port, relays=RELAYS) as load:
        yield load


def rotated(logged: Logged) -> list[Path]:
    return sorted(logged.folder.glob("logs/access.log*"))


BUFFERS = pytest.mark.parametrize("buffer", ["test", "test buffer=8k flush=100ms"], ids=["unbuffered", "buffered"])


@BUFFERS
def test_no_line_is_lost_when_logs_are_rotated(start: Start, load: Load, buffer: str) -> None:
    logged = start(f"access_log logs/access.log {buffer};", server=load.server)
    load.start()
    for number in range(5):
        logged.access_log.rename(logged.folder / "logs" / f"access.log.{number}")
        logged.signal(signal.SIGUSR1)
        logged.await_true(logged.access_log.exists, "the new file")
        load.await_logins(3)
    load.finish()
    lines = logged.await_lines(sessions_of(load), *rotated(logged))
    logged.signal(signal.SIGQUIT)
    assert logged.await_exit() == 0
    assert len(set(lines)) == len(lines) == sessions_of(load) == sum(len(read(path)) for path in rotated(logged))
    assert read(logged.access_log)


@BUFFERS
def test_no_line_is_lost_over_reloads(start: Start, load: Load, buffer: str) -> None:
    logged = start(f"access_log logs/access.log {buffer};", server=load.server)
    load.start()
    for number in range(5):
        logged.signal(signal.SIGHUP)
        logged.await_line("start worker processes$", number + 2)
        load.await_logins(3)
    assert len(logged.writers()) > 1  # the one of those who stay
    load.finish()
    logged.await_true(lambda: len(logged.writers()) == 1, "the end of the former ones")
    logged.signal(signal.SIGQUIT)
    assert logged.await_exit() == 0
    lines = read(logged.access_log)
    assert len(set(lines)) == len(lines) == sessions_of(load)


def test_no_line_is_lost_when_the_binary_is_changed(start: Start, load: Load) -> None:
    logged = start("access_log logs/access.log test buffer=8k;", server=load.server)
    load.start()
    old, new = logged.upgrade()
    load.await_logins(3)
    assert len(logged.writers(old)) == len(logged.writers(new)) == 1
    os.kill(old, signal.SIGQUIT)
    load.await_logins(3)
    load.finish()
    wait_until(lambda: has_ended(old), "its end")
    os.kill(new, signal.SIGQUIT)
    wait_until(lambda: not psutil.pid_exists(new), "the new master's end")
    lines = read(logged.access_log)
    assert len(set(lines)) == len(lines) == sessions_of(load)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=lambda number: number.name)
def test_sessions_that_the_end_cuts_are_lines_too(start: Start, port: int, number: Signals) -> None:
    logged = start("access_log logs/access.log test buffer=64k;", main="worker_shutdown_timeout 50ms;")
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    for client in clients:
        assert client.recv(100) == GREETING
    logged.signal(number)
    if number is signal.SIGQUIT:
        for client in clients:
            client.close()
    assert logged.await_exit() == 0
    assert len(read(logged.access_log)) == 10
    for client in clients:
        client.close()


def test_no_line_is_lost_when_a_service_manager_quits_all_processes_at_once(start: Start, port: int) -> None:
    logged = start("access_log logs/access.log test buffer=64k;")
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(100) == GREETING
        visit(port, 5)
        writer = logged.await_writer()
        for pid in (writer.pid, *logged.await_workers(2), logged.pid):
            os.kill(pid, signal.SIGQUIT)
        logged.await_writer(without=writer.pid)
    assert logged.await_exit() == 0
    assert len(read(logged.access_log)) == 6


def test_without_a_master_the_lines_are_written_by_the_process_itself(start: Start, port: int) -> None:
    logged = start("access_log logs/access.log test buffer=64k;", main="master_process off;")
    visit(port, 10)
    logged.signal(signal.SIGHUP)
    logged.await_line("reconfiguring$", 1)
    logged.await_lines(10)
    logged.access_log.rename(logged.folder / "logs" / "access.log.1")
    visit(port, 5)
    logged.signal(signal.SIGUSR1)
    logged.await_true(logged.access_log.exists, "the new file")
    visit(port, 5)
    logged.signal(signal.SIGQUIT)
    assert logged.await_exit() == 0
    assert sum(len(read(path)) for path in rotated(logged)) == 20
