"""The C part, built with the compiler's sanitizers, under the tests that give it the most to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SANITIZERS = "-fsanitize=address,undefined"
FLAGS = f"-O1 -g {SANITIZERS} -fno-sanitize-recover=all"
TESTS = [
    "tests/native/test_relay.py",
    "tests/native/test_session_table.py",
    "tests/native/test_slot_set.py",
    "tests/native/test_torn_sessions.py",
    "tests/tls/test_flights.py",
    "tests/tls/test_peer_certificate.py",
]


def runtime(name: str) -> str:
    """The file of a sanitizer's library, which must be there before Python is."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    command = [compiler, f"-print-file-name={name}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"the compiler has no {name}")
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package with a sanitized C part, and the tests."""
    for name in ("mailworker", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "_native.*.so"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    environment = os.environ | {"CFLAGS": FLAGS, "LDFLAGS": SANITIZERS}
    build = [sys.executable, "-m", "mailworker.native.build"]
    subprocess.run(build, cwd=tmp_path, env=environment, check=True, capture_output=True)
    return tmp_path


@pytest.mark.timeout(300)
def test_sanitizers_find_nothing(copy: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaves much to the end of the process
    }
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", *options, *TESTS]
    result = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    assert " passed" in result.stdout
