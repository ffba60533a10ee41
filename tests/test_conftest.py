import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
OURS = {"PYTHONPATH": str(CONFTEST.parent.parent)}  # conftest.py uses tests.support


def run(folder: Path, source: str, *arguments: str, **environment: str) -> str:
    """What pytest prints, with our conftest.py, of tests in a folder of their own."""
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    ran = subprocess.run(
        [*command, str(folder)],
        env=os.environ | OURS | environment | {"TMPDIR": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout


@pytest.mark.parametrize(
    ("environment", "source", "said"),
    [
        ("", "import pytest\ndef test(): pytest.skip('no server')", "1 skipped"),
        ("true", "import pytest\ndef test(): pytest.skip('no server')", "1 failed"),
        ("true", "import pytest\npytest.skip('no server', allow_module_level=True)", "1 error"),
        ("true", "import pytest\n@pytest.mark.xfail\ndef test(): assert False", "1 xfailed"),
        ("true", "def test(): pass", "1 passed"),
    ],
)
def test_where_ci_is_true_a_skip_is_a_failure(tmp_path: Path, environment: str, source: str, said: str) -> None:
    ran = run(tmp_path, source, CI=environment)
    assert said in ran
    assert ("no server" in ran) == (said in {"1 failed", "1 error"})


LEAVING = """
import gc, socket
def test_leaves():
    left = [socket.socket()]
    left.append(left)  # so that only the collector frees it
    assert not left
def test_is_innocent():
    gc.collect()
"""


def test_what_a_failed_test_has_left_open_fails_no_other_one(tmp_path: Path) -> None:
    assert "1 failed, 1 passed" in run(tmp_path, LEAVING, "-W", "error")


@pytest.mark.parametrize(("last", "remains"), [("", False), ("; assert False", True)], ids=["passed", "failed"])
def test_a_run_has_a_folder_of_its_own_which_a_failure_leaves(tmp_path: Path, last: str, remains: bool) -> None:
    """pytest's common one is closed to our workers whenever another run begins."""
    said = run(tmp_path, f"def test(tmp_path): print(tmp_path){last}", "-rA")
    (folder,) = map(Path, re.findall(r"^/\S+$", said, re.MULTILINE))
    assert "pytest-of" not in str(folder)
    assert folder.exists() == remains


def test_tests_that_share_servers_run_in_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "real"
    folder.mkdir(parents=True)
    (folder.parent / "conftest.py").write_text(CONFTEST.read_text())
    for name in ("a", "b", "c", "d"):
        (folder / f"test_{name}.py").write_text("import os\ndef test_it(): print(os.environ['PYTEST_XDIST_WORKER'])\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "-rP", "--rootdir", str(tmp_path)]
    environment = os.environ | OURS
    ran = subprocess.run(
        [*command, "tests"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    workers = re.findall(r"^gw\d$", ran.stdout, re.MULTILINE)
    assert len(workers) == 4, ran.stdout
    assert len(set(workers)) == 1
