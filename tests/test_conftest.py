import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


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
        env=os.environ | {"CI": environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in ran.stdout
    assert ("no server" in ran.stdout) == (said in {"1 failed", "1 error"})
