"""Row 62: what the processes are, hold and may do, as the kernel tells."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.long.site import ROOT, Site, running
from tests.support.process import descriptors as opened_by

CLOSE_ON_EXEC = 0o2000000
APPEND_ONLY = os.O_WRONLY | os.O_APPEND
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")
# Runs as a worker does from its fork on, and then tries what only root may; prints what succeeds.
TAKEN_OVER = """
import ctypes, json, os, sys
from dataclasses import replace
from mailworker.config.core import User
from mailworker.log.log import Log
from mailworker.process.system import identity
from tests.support.settings import configuration

def trace_the_master():
    if libc.ptrace(16, os.getppid(), None, None):
        raise OSError(ctypes.get_errno(), "")

def succeeds(attempt):
    try:
        attempt()
    except OSError:
        return False
    return True

key, user, group = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
identity.assume(replace(configuration().core, user=User("nobody", user, group)), 0, Log([]))
attempts = {
    "become root": lambda: os.setuid(0),
    "become root in every way": lambda: os.setresuid(0, 0, 0),
    "join root's group": lambda: os.setgid(0),
    "join groups": lambda: os.setgroups([0]),
    "read a key": lambda: open(key),
    "trace the master": trace_the_master,
}
print(json.dumps([name for name, attempt in attempts.items() if succeeds(attempt)]))
"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to drop"),
    pytest.mark.skipif(sys.platform != "linux", reason="no /proc here"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running() as running_site:
        assert running_site.served()
        yield running_site


@pytest.fixture(scope="module")
def workers(site: Site) -> list[psutil.Process]:
    return site.mailworker.workers()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def descriptors(pid: int) -> dict[str, int]:
    """What a process has open but for its standard streams, with the flags."""
    found = {}
    for path, link in opened_by(pid).items():
        if int(path.name) > 2:
            with suppress(FileNotFoundError):  # closed meanwhile
                information = Path(f"/proc/{pid}/fdinfo/{path.name}").read_text()
                found[f"{path.name} {link}"] = int(information.split("flags:")[1].split()[0], 8)
    return found


def test_a_worker_is_nobody_and_can_do_nothing(workers: list[psutil.Process]) -> None:
    nobody = pwd.getpwnam("nobody")
    for worker in workers:
        table = status(worker.pid)
        assert table["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert len(set(table["Gid"].split())) == 1
        assert table["Gid"].split()[0] != "0"
        assert table["Groups"].split() == [table["Gid"].split()[0]]
        assert {name: int(table[name], 16) for name in CAPABILITIES} == dict.fromkeys(CAPABILITIES, 0)
        assert table["NoNewPrivs"] == "1"
        # What belongs to root here does so because the process is not dumpable.
        assert Path(f"/proc/{worker.pid}/mem").stat().st_uid == 0


def test_a_worker_has_sockets_and_logs_open_and_nothing_else(workers: list[psutil.Process]) -> None:
    for worker in workers:
        for name, flags in descriptors(worker.pid).items():
            target = name.split(" ", 1)[1]
            if target == os.devnull:  # held in reserve
                continue
            if target.startswith("/"):
                assert target.endswith("/logs/error.log"), name
                assert flags & (os.O_ACCMODE | os.O_APPEND) == APPEND_ONLY, name
            else:
                assert target.startswith(("socket:", "pipe:", "anon_inode:[eventpoll]")), name


def test_nothing_is_open_for_those_that_are_executed(site: Site, workers: list[psutil.Process]) -> None:
    """The master hands its sockets on to a new binary by taking that flag off at that time only."""
    for pid in (site.master.pid, *(worker.pid for worker in workers)):
        assert [name for name, flags in descriptors(pid).items() if not flags & CLOSE_ON_EXEC] == []


def test_the_master_keeps_no_key_open(site: Site) -> None:
    assert [name for name in descriptors(site.master.pid) if ".key" in name or ".crt" in name] == []


def test_a_worker_cannot_take_anything_back(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    key = tmp_path / "server.key"
    key.write_text("secret")
    key.chmod(0o600)
    command = [sys.executable, "-c", TAKEN_OVER, str(key), str(nobody.pw_uid), str(nobody.pw_gid)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
