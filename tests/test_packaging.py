import os
import subprocess
import sys
from pathlib import Path

import mailworker

ROOT = Path(__file__).parents[1]
PREREQUISITES = ROOT / ".ci" / "prerequisites"


def test_every_folder_with_modules_is_a_package_and_so_ships() -> None:
    folders = {path.parent for path in (ROOT / "mailworker").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_setup_and_package_name_the_same_version() -> None:
    assert f'version="{mailworker.__version__}"' in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_changelog_starts_with_what_is_not_released() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_missing_prerequisites_are_told_in_one_line(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "PYTHON": sys.executable}
    ran = subprocess.run(["/bin/sh", PREREQUISITES], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert [name for name in ("Debian", "Fedora", "Alpine", "macOS") if name not in ran.stderr] == []


def test_nothing_is_said_where_all_prerequisites_are_there() -> None:
    environment = os.environ | {"PYTHON": sys.executable}
    ran = subprocess.run(["/bin/sh", PREREQUISITES], env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
