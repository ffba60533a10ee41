from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.again import LAST_FAILED

ROOT = Path(__file__).parents[2]

# The first test fails in its first run, and passes in later ones if it `recovers`.
RACED = """
from pathlib import Path
import pytest

def test_raced():
    first = Path("ran")
    if not first.exists():
        first.touch()
        raise AssertionError
    assert {recovers}

@pytest.mark.parametrize("number", range({broken}))
def test_broken(number):
    raise AssertionError
"""


ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a module with arguments."""
    line = [sys.executable, "-m", *command]
    return subprocess.run(line, check=False, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_these.py").write_text(RACED.format(recovers=True, broken=0))
    (tmp_path / "pytest.ini").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("recovers", "broken", "status"),
    [(True, 0, 0), (False, 0, 1), (True, 1, 1), (True, 20, 1)],
    ids=["raced", "fails twice", "another is broken", "many are broken"],
)
def test_only_a_few_tests_that_pass_alone_are_forgiven(folder: Path, recovers: bool, broken: int, status: int) -> None:
    (folder / "test_these.py").write_text(RACED.format(recovers=recovers, broken=broken))
    assert run(folder, "pytest").returncode == 1
    (folder / "ran").unlink()
    again = run(folder, "tests.support.again")
    assert again.returncode == status, again.stdout + again.stderr
    assert status or again.stdout.endswith("have to be mended:\n  test_these.py::test_raced\n")


def test_nothing_is_forgiven_where_nobody_knows_what_has_failed(folder: Path) -> None:
    again = run(folder, "tests.support.again", "-p", "no:cacheprovider")
    assert (again.returncode, again.stderr) == (1, "0 tests failed, which is not between 1 and 5\n")


# pytest ends otherwise than by a failed test, behind one that has failed and would pass alone.
@pytest.mark.parametrize(
    ("hook", "status"),
    [
        ("def pytest_runtest_teardown(): raise KeyboardInterrupt", pytest.ExitCode.INTERRUPTED),
        ("def pytest_runtest_logfinish(): raise RuntimeError", pytest.ExitCode.INTERNAL_ERROR),
    ],
    ids=["interrupted", "internal error"],
)
def test_only_failed_tests_are_forgiven(folder: Path, hook: str, status: int) -> None:
    (folder / "conftest.py").write_text(f"{hook}\n")
    again = run(folder, "tests.support.again")
    assert again.returncode == status, again.stdout + again.stderr
    assert "1 failed" in again.stdout
    assert "mended" not in again.stdout


def test_tests_that_cannot_be_collected_are_not_forgiven(folder: Path) -> None:
    (folder / "test_others.py").write_text("import nothing_of_that_name")
    assert run(folder, "tests.support.again").returncode == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["-k", "nothing"], pytest.ExitCode.NO_TESTS_COLLECTED), (["--nonsense"], pytest.ExitCode.USAGE_ERROR), ([], 0)],
    ids=["no test", "wrong arguments", "all pass"],
)
def test_the_status_is_that_of_pytest(folder: Path, arguments: list[str], status: int) -> None:
    (folder / "ran").touch()
    assert run(folder, "tests.support.again", *arguments).returncode == status


def test_failures_of_an_older_run_do_not_count(folder: Path) -> None:
    (folder / LAST_FAILED).parent.mkdir(parents=True)
    (folder / LAST_FAILED).write_text(json.dumps({f"test_these.py::test_{number}": True for number in range(20)}))
    again = run(folder, "tests.support.again")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.endswith("have to be mended:\n  test_these.py::test_raced\n")
