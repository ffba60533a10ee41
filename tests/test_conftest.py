import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
OURS = {"PYTHONPATH": str(CONFTEST.parent.parent)}  # conftest.py uses tests.support


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
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_it.py").write_text(source)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        env=os.environ | OURS | {"CI": environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in ran.stdout
    assert ("no server" in ran.stdout) == (said in {"1 failed", "1 error"})


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
