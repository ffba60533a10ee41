"""As process 1 of its own process namespace, as in a container, on the real binary."""

from __future__ import annotations

import os
import shutil
import subprocess

import psutil
import pytest

from tests.process.conftest import Install
from tests.support.daemon import wait_until
from tests.support.patience import PATIENCE
from tests.support.process import GREETING, configuration, greeting, refuses

NEEDED = ("unshare", "nsenter")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, NEEDED)), reason="namespaces need root and util-linux"
)


def test_process_1_reaps_orphans_and_obeys_sigterm(install: Install, port: int) -> None:
    mailworker = install(configuration(port))
    command = ["unshare", "--pid", "--fork", *mailworker.command("-g", "daemon off;")]
    with subprocess.Popen(command) as outside:
        try:
            mailworker.await_true(lambda: mailworker.pid_file.exists() and not refuses(port), "start")
            assert mailworker.pid == 1
            (master,) = psutil.Process(outside.pid).children()
            # The shell ends before what it has started, which becomes a child of process 1.
            enter = ["nsenter", f"--target={master.pid}", "--pid", "sh", "-c", "sleep 0.1 & echo $!"]
            assert int(subprocess.run(enter, capture_output=True, check=True).stdout) > 1
            wait_until(lambda: len(master.children()) == 1, "the orphan's end")
            assert greeting(port) == GREETING
            assert not mailworker.lines(r"process \d+ exited")
            master.terminate()
            assert outside.wait(PATIENCE) == 0
        finally:
            if outside.poll() is None:
                outside.kill()
