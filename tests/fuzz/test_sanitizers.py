"""The tests of the C part hold when it is built with sanitizers, which end the process at the first fault."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SANITIZERS = "-fsanitize=address,undefined"
NEEDED = ("mailworker", "tests", "setup.py", "pyproject.toml", "README.md")
TESTS = (
    "tests/native",
    "tests/tls/test_connection.py",
    "tests/tls/test_flights.py",
    "tests/tls/test_peer_certificate.py",
    "tests/tls/test_sessions.py",
    "tests/event/test_beginning.py",
    "tests/event/test_connections.py",
    "tests/event/test_copies.py",
    "tests/event/test_lobby.py",
    "tests/event/test_pair.py",
    "tests/event/test_plan.py",
    "tests/event/test_exchange.py",
    "tests/event/test_stream.py",
    "tests/event/test_loop.py",
    "tests/event/test_poller.py",
    "tests/event/test_stream_tls.py",
    "tests/event/test_task.py",
    "tests/event/test_relay.py",
    "tests/event/test_relay_end.py",
    "tests/event/test_relay_limited.py",
    "tests/event/test_sockets.py",
    "tests/event/test_timers.py",
    "tests/shm/test_attempts.py",
    "tests/shm/test_gate.py",
    "tests/mail/authentication/test_auth_http.py",
    "tests/mail/test_entering.py",
    "tests/mail/test_relay.py",
    "tests/mail/test_sieve.py",
    "tests/wire/test_sieve_line.py",
)
# Sanitizers keep what is freed for a while, so memory cannot be counted; and processes are slow to start and to kill.
LEFT_OUT = "not holds_no_buffers and not killed and not Python"

# faulthandler also ends a process that is stuck in C, where no signal handler of Python's runs.
END_STUCK = ("-o", "faulthandler_timeout=130", "-o", "faulthandler_exit_on_timeout=true")


def library(name: str) -> str:
    """Where the compiler has a library."""
    return subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.timeout(0)  # each of the tests within has its own time, so a slow machine may need any time for all
@pytest.mark.skipif(
    platform.system() != "Linux" or shutil.which("gcc") is None, reason="sanitizers are loaded as gcc on Linux does"
)
def test_no_sanitizer_has_anything_to_say(tmp_path: Path) -> None:
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for built in (tmp_path / "mailworker" / "native").glob("*/*.so"):
        built.unlink()
    environment = {name: value for name, value in os.environ.items() if name != "MAILWORKER_WERROR"}
    flags = {"CFLAGS": f"{SANITIZERS} -fno-sanitize-recover=all -g -O1", "LDFLAGS": SANITIZERS}
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=tmp_path, env=environment | flags, check=True, capture_output=True)
    watched = {
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # a Python that ends frees nothing
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": str(tmp_path),
    }
    run = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *END_STUCK, "-k", LEFT_OUT, *TESTS]
    done = subprocess.run(run, cwd=tmp_path, env=environment | watched, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
