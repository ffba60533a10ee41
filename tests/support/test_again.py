from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


def run(folder: Path, module: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module]
    return subprocess.run(command, check=False, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("recovers", "broken", "status"),
    [(True, 0, 0), (False, 0, 1), (True, 1, 1), (True, 20, 1)],
    ids=["raced", "fails twice", "another is broken", "many are broken"],
)
def test_only_a_few_tests_that_pass_alone_are_forgiven(
    tmp_path: Path, recovers: bool, broken: int, status: int
) -> None:
    (tmp_path / "test_these.py").write_text(RACED.format(recovers=recovers, broken=broken))
    (tmp_path / "pytest.ini").touch()
    assert run(tmp_path, "pytest").returncode == 1
    again = run(tmp_path, "tests.support.again")
    assert again.returncode == status, again.stdout + again.stderr
    assert status or again.stdout.endswith("have to be mended:\n  test_these.py::test_raced\n")


def test_nothing_is_forgiven_where_no_test_has_failed(tmp_path: Path) -> None:
    again = run(tmp_path, "tests.support.again")
    assert (again.returncode, again.stderr) == (1, "0 tests failed, which is not between 1 and 5\n")
