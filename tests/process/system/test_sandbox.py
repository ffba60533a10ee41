"""`worker_sandbox on`: what a fenced worker cannot do, and that it serves as ever."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from mailworker.errors import StartError
from mailworker.process.system import sandbox
from mailworker.process.system.hardening import LIBC
from mailworker.process.system.sandbox import _CALLS
from mailworker.variables.table import TABLE
from tests.long.site import WORKERS, running

ROOT = Path(__file__).parents[3]
ALLOWED = {"connect"}

pytestmark = pytest.mark.skipif(not sandbox.is_supported(), reason="no such fence here")


# Tries to signal its parent behind Landlock alone.
LANDLOCKED = """
import os
from mailworker.process.system import sandbox
from mailworker.process.system.hardening import LIBC, harden
from mailworker.log.log import Log
harden(Log([]), core_dumps=True)
os.kill(os.getppid(), 0)
sandbox._landlock(LIBC, ())
os.kill(os.getpid(), 0)
try:
    os.kill(os.getppid(), 0)
except PermissionError:
    print("refused")
"""


# Makes files below a folder behind the fence, and tries what else could be done by the same call.
APPENDING = """
import errno, os, sys
from mailworker.process.system import sandbox
from mailworker.process.system.hardening import harden
from mailworker.log.log import Log
from mailworker.log.opening import FLAGS
folder = os.open(sys.argv[1], sandbox.FOLDER_FLAGS & ~os.O_NOFOLLOW)
outer = os.open(sys.argv[1] + "/..", sandbox.FOLDER_FLAGS & ~os.O_NOFOLLOW)
append = FLAGS | os.O_NOFOLLOW
harden(Log([]), core_dumps=True)
sandbox.enter([folder])
for name, flags, below in (
    ("new", append, folder), ("old", append, folder),
    ("old", append | os.O_TRUNC, folder), ("old", os.O_RDONLY, folder), ("old", os.O_RDWR, folder),
    ("link", FLAGS, folder), ("link", append, folder),
    ("other", append, outer), ("/proc/self/mem", append, folder), ("/etc/passwd", append, folder),
):
    try:
        os.write(os.open(name, flags, 0o644, dir_fd=below), b"x")
        print("done")
    except OSError as error:
        print(errno.errorcode[error.errno])
for call in (lambda: os.unlink("old", dir_fd=folder), lambda: os.mkdir("d", dir_fd=folder)):
    try:
        call()
        print("done")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def landlock_version() -> int:
    """What landlock_create_ruleset(2) says when it is asked for its version; 0 or less where there is none."""
    return -1 if LIBC is None else int(LIBC.syscall(444, None, ctypes.c_size_t(0), 1))


@pytest.fixture(scope="module", params=[(), ("seccomp",)], ids=["with Landlock", "without Landlock"])
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("fence") / "logs"
    folder.mkdir()
    (folder / "error.log").touch()
    command = [sys.executable, "-m", "tests.process.fenced", str(folder), *request.param]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def test_nothing_but_serving_is_allowed(tried: dict[str, str]) -> None:
    refused = {name: result for name, result in tried.items() if name not in ALLOWED}
    assert {name: result for name, result in refused.items() if result not in ("EPERM", "EACCES")} == {}


def test_peers_can_be_reached(tried: dict[str, str]) -> None:
    assert {name: tried[name] for name in ALLOWED} == dict.fromkeys(ALLOWED, "done")


def test_landlock_keeps_signals_inside_the_fence_where_it_can() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LANDLOCKED], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == ("refused\n" if landlock_version() >= 6 else "")


def test_below_a_folder_files_can_be_appended_to_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "old").write_bytes(b"old")
    (folder / "link").symlink_to(tmp_path / "other")
    (tmp_path / "other").touch()
    done = subprocess.run(
        [sys.executable, "-c", APPENDING, str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    refused_by_landlock = ["EACCES"] * 3 if landlock_version() > 0 else ["done"] * 3
    assert done.stdout.split() == ["done", "done", *["EPERM"] * 4, "ELOOP", *refused_by_landlock, "EPERM", "EPERM"]
    assert (folder / "old").read_bytes() == b"oldx"


def test_every_call_has_a_number_of_its_own() -> None:
    for column in (0, 1):
        numbers = [numbers[column] for numbers in _CALLS.values() if numbers[column] is not None]
        assert len(numbers) == len(set(numbers))


def test_fenced_workers_serve_reload_and_begin_logs_anew() -> None:
    with running(main="worker_sandbox on;") as site:
        mailworker = site.mailworker
        assert site.served()
        first = mailworker.await_workers(WORKERS)
        for worker in first:
            status = Path(f"/proc/{worker}/status").read_text()
            assert "\nSeccomp:\t2\n" in status
            assert "\nNoNewPrivs:\t1\n" in status
        mailworker.signal(signal.SIGHUP)
        mailworker.await_workers(WORKERS, without=first)
        assert site.served()
        log = mailworker.error_log
        old = log.rename(log.with_name("old.log"))
        mailworker.signal(signal.SIGUSR1)
        mailworker.await_true(log.exists, "a new log")
        mailworker.await_true(lambda: old.read_text().count(": reopening logs\n") == 1 + WORKERS, "all to have heard")
        assert site.served()
        workers = {worker.pid for worker in mailworker.workers()}
        told = {int(line.split("#")[0].split()[-1]) for line in mailworker.lines("client 127.0.0.1:")}
        assert told
        assert told <= workers
        assert site.alerts() == []


def has_lines(log: Path, count: int) -> bool:
    return log.read_text().count("\n") == count


def test_fenced_workers_write_all_variables_and_predefined_formats() -> None:
    variables = " ".join(f"${name}" for name in TABLE if not name.endswith("_"))
    logs = "access_log logs/all all; access_log logs/json json; access_log logs/dovecot dovecot;"
    headers = "auth_http_header X-Host $hostname;"
    with running(main="worker_sandbox on;", mail=f"log_format all '{variables}'; {logs} {headers}") as site:
        mailworker = site.mailworker
        assert site.served()
        logged = [mailworker.folder / "logs" / name for name in ("all", "json", "dovecot")]
        for log in logged:
            mailworker.await_true(partial(has_lines, log, len(site.doors)), f"the lines of {log.name}")
        assert site.alerts() == []


def test_a_fenced_worker_that_is_told_to_begin_its_logs_anew_keeps_them() -> None:
    with running(main="worker_sandbox on;") as site:
        mailworker = site.mailworker
        [worker, *_] = mailworker.await_workers(WORKERS)
        os.kill(worker, signal.SIGUSR1)
        mailworker.await_line(
            rf"^[^[]*\[emerg\] {worker}#\d+: open\(\) \"{mailworker.error_log}\" failed \(1: Operation not permitted\)$"
        )
        assert site.served()
        assert mailworker.await_workers(WORKERS)[0] == worker


def test_where_there_is_no_fence_the_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for and not to be had: better nothing than less."""
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(StartError, match=r"^worker_sandbox is not supported on Linux on pdp11$"):
        sandbox.enter()


def test_a_python_of_32_bits_has_no_fence_as_its_system_calls_are_not_those_of_the_kernels_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as of Raspberry Pi OS, whose kernel says aarch64: the filter would kill the worker at its next call."""
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    refused = rf"^worker_sandbox is not supported on Linux on {platform.machine()} with a Python of 32 bits$"
    with pytest.raises(StartError, match=refused):
        sandbox.enter()
