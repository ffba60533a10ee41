"""Workers that are killed while they write. SHM_SECONDS sets for how long, 5 seconds if unset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

import psutil
import pytest

from tests.native.workers import KILL_INTERVAL, WORKERS
from tests.support.process import hold

SECONDS = float(os.environ.get("SHM_SECONDS", "5"))
NAMES = Path("/dev/shm")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def running() -> Iterator[subprocess.Popen[str]]:
    """The program `tests.native.workers` with all workers started."""
    command = [sys.executable, "-m", "tests.native.workers", str(SECONDS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(SECONDS + 60)
def test_workers_killed_while_they_write_stop_nobody_and_spoil_nothing(running: subprocess.Popen[str]) -> None:
    output, _ = running.communicate()
    seen = json.loads(output)
    assert seen["wrong"] == seen["stuck"] == []
    assert seen["kills"] > SECONDS / KILL_INTERVAL / 10
    assert seen["foreign"] > 1000


@pytest.mark.skipif(not NAMES.exists(), reason="no such folder on this system")
def test_nothing_is_left_when_all_are_killed_at_once(running: subprocess.Popen[str]) -> None:
    master = psutil.Process(running.pid)
    hold(master)
    workers = [worker for worker in master.children(recursive=True) if worker.status() != psutil.STATUS_ZOMBIE]
    assert len(workers) in (WORKERS - 1, WORKERS)
    for process in (master, *workers):
        with suppress(psutil.ZombieProcess):  # it was killed just before, and has nothing any more
            assert process.exe() == master.exe()
            assert not [mapping.path for mapping in process.memory_maps() if mapping.path.startswith(str(NAMES))]
            assert not [fd for fd in Path(f"/proc/{process.pid}/fd").iterdir() if str(NAMES) in str(fd.readlink())]
    before = set(NAMES.iterdir())
    for process in (*workers, master):
        process.send_signal(SIGKILL)
    running.wait()
    assert set(NAMES.iterdir()) <= before
