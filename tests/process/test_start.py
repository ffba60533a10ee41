"""Starting: what is printed, what is left behind, which code is returned."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.process.conftest import Install
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.process import GREETING, configuration, greeting, refuses


def test_a_daemon_detaches_and_is_found_by_its_pid_file(install: Install, port: int, folder: Path) -> None:
    mailworker = install(configuration(port))
    assert mailworker.run().returncode == 0
    wait_until(mailworker.pid_file.exists, "the pid file")
    master = psutil.Process(mailworker.pid)
    try:
        assert master.ppid() != os.getpid()
        assert os.getsid(master.pid) != os.getsid(0)
        assert master.cwd() == str(Path.cwd())
        mailworker.await_workers(1)
        assert greeting(port) == GREETING
        stop = mailworker.run("-s", "stop")
        assert (stop.returncode, stop.stderr) == (0, b"")
        assert psutil.wait_procs([master], timeout=PATIENCE)[1] == []
    finally:
        if master.is_running():
            master.kill()
    assert not mailworker.pid_file.exists()
    assert mailworker.lines(r"\[notice\] \d+#\d+: signal process started$")


def test_a_start_whose_warnings_nobody_can_read_succeeds(install: Install, port: int) -> None:
    mailworker = install(configuration(port, mail="imap_auth plain plain;"))
    with Path("/dev/full").open("wb") as full:
        command = mailworker.command()
        assert subprocess.run(command, stdout=full, stderr=full, timeout=PATIENCE, check=False).returncode == 0
    mailworker.await_workers(1)
    assert mailworker.lines(r"\[warn\] .* duplicate value \"plain\"")
    assert greeting(port) == GREETING
    assert mailworker.run("-s", "stop").returncode == 0
    wait_until(lambda: not mailworker.pid_file.exists(), "the end")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="namespaces need root and util-linux")
def test_a_daemon_without_dev_null_says_so(install: Install, port: int) -> None:
    mailworker = install(configuration(port))
    without = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "-"]
    started = subprocess.run(
        [*without, *mailworker.command()], capture_output=True, stdin=subprocess.PIPE, timeout=PATIENCE, check=False
    )
    message = 'open() "/dev/null" failed (2: No such file or directory)'
    assert (started.returncode, started.stderr.decode()) == (1, f"mailworker: [emerg] {message}\n")
    assert mailworker.lines(re.escape(message))
    assert refuses(port)


def test_a_start_tells_the_log_what_nginx_tells(install: Install, port: int) -> None:
    mailworker = install(configuration(port))
    mailworker.start()
    mailworker.await_line(r"start worker process \d+$")
    messages = [re.sub(r"^\S+ \S+ (\[\w+\]) \d+#\d+: ", r"\1 ", line) for line in mailworker.lines("")]
    assert [re.sub(r"\d+(:\d+)?$", "N", message) for message in messages[:6]] == [
        '[notice] using the "epoll" event method',
        "[notice] mailworker/0.1.N",
        f"[notice] OS: {os.uname().sysname} {re.sub('[0-9]+$', 'N', os.uname().release)}",
        "[notice] getrlimit(RLIMIT_NOFILE): N",
        "[notice] start worker processes",
        "[notice] start worker process N",
    ]
    assert mailworker.output == ""


def test_a_start_gives_up_when_an_address_stays_in_use(install: Install) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        mailworker = install(configuration(port))
        started = mailworker.run()
    assert started.returncode == 1
    in_use = f"mailworker: [emerg] bind() to 127.0.0.1:{port} failed (98: Address already in use)\n"
    assert started.stderr.decode() == in_use * 5 + "mailworker: [emerg] still could not bind()\n"
    assert len(mailworker.lines(r"try again to bind\(\) after 500ms$")) == 5
    assert not mailworker.pid_file.exists()


def test_a_start_that_fails_says_so_on_stderr_and_in_the_log(install: Install, folder: Path) -> None:
    mailworker = install("events {} nonsense;")
    started = mailworker.run()
    message = f'unknown directive "nonsense" in {folder}/conf/mailworker.conf:1'
    assert started.returncode == 1
    assert started.stderr.decode() == f"mailworker: [emerg] {message}\n"
    assert mailworker.lines(r"\[emerg\] \d+#\d+: " + re.escape(message))


def test_the_early_log_can_be_stderr(install: Install) -> None:
    started = install("events {} nonsense;").run("-e", "stderr")
    assert re.fullmatch(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[emerg\] \d+#\d+: unknown .*\n", started.stderr)


def test_a_missing_folder_for_the_early_log_is_no_reason_to_stop(install: Install) -> None:
    started = install("events {} nonsense;").run("-e", "missing/error.log")
    first, second = started.stderr.decode().splitlines()
    assert first.startswith("mailworker: [alert] could not open error log file: open() ")
    assert re.search(r"\[emerg\] \d+#\d+: unknown directive", second)


def test_a_pid_file_that_cannot_be_written_stops_the_start(install: Install, port: int) -> None:
    mailworker = install(configuration(port, main="pid missing/pid;"))
    started = mailworker.run("-g", "daemon off;")
    assert started.returncode == 1
    assert re.search(rb'\[emerg\] open\(\) ".*/missing/pid" failed \(2: No such file or directory\)\n', started.stderr)
    assert refuses(port)


def test_a_unix_socket_that_a_killed_process_left_is_no_obstacle(install: Install, port: int, folder: Path) -> None:
    path = folder / "imap.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    mailworker = install(configuration(port, server=f"listen unix:{path};"))
    mailworker.start()
    mailworker.await_workers(1)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(100) == GREETING
    assert path.stat().st_mode & 0o777 == 0o666
    mailworker.signal(signal.SIGTERM)
    assert mailworker.await_exit() == 0
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_workers_drop_all_privileges(install: Install, port: int) -> None:
    mailworker = install(configuration(port, main="user nobody nogroup;"))
    mailworker.start()
    mailworker.await_workers(1)
    worker = mailworker.workers()[0]
    mailworker.await_true(lambda: worker.uids().effective != 0, "another user")
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if ":\t" in line
    )
    uid = str(psutil.Process(worker.pid).uids().real)
    assert status["Uid"].split() == [uid] * 4
    assert set(status["Gid"].split()) == set(status["Groups"].split())
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can tell")
@pytest.mark.parametrize(("main", "owner"), [("", 0), ("worker_rlimit_core 1m;", "the worker's")])
def test_a_worker_dumps_no_core_unless_it_shall(install: Install, port: int, main: str, owner: object) -> None:
    mailworker = install(configuration(port, main=main))
    mailworker.start()
    mailworker.await_workers(1)
    assert greeting(port)
    worker = mailworker.workers()[0]
    # /proc/PID belongs to root while the process is not dumpable.
    expected = owner if owner == 0 else worker.uids().effective
    assert Path(f"/proc/{worker.pid}/environ").stat().st_uid == expected
    assert worker.uids().effective != 0


def test_workers_go_to_working_directory(install: Install, port: int) -> None:
    mailworker = install(configuration(port, main="working_directory /;"))
    mailworker.start()
    mailworker.await_workers(1)
    assert greeting(port)
    assert mailworker.workers()[0].cwd() == "/"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity here")
def test_workers_run_on_their_processors(install: Install, port: int) -> None:
    only = min(os.sched_getaffinity(0))
    mailworker = install(configuration(port, main=f"worker_cpu_affinity {1 << only:b};"))
    mailworker.start()
    mailworker.await_workers(1)
    assert greeting(port)
    assert os.sched_getaffinity(mailworker.workers()[0].pid) == {only}
    assert mailworker.lines(rf"\[notice\] \d+#\d+: sched_setaffinity\(\): using cpu #{only}$")
