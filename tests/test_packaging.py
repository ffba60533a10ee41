import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mailworker

ROOT = Path(__file__).parents[1]


def test_every_folder_with_modules_is_a_package_and_so_ships() -> None:
    folders = {path.parent for path in (ROOT / "mailworker").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_setup_and_package_name_the_same_version() -> None:
    assert f'version="{mailworker.__version__}"' in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_changelog_starts_with_what_is_not_released() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["mailworker", "mailworker-tune"])
def test_a_source_tree_that_is_not_built_says_how_to_build_it(tmp_path: Path, name: str) -> None:
    ran = _run_unbuilt(tmp_path, name, "sys.version_info")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(f"{name}: {sys.executable} cannot run it: No module named 'mailworker.native._")
    assert "`make run`" in ran.stderr
    assert "`pip install .`" in ran.stderr


@pytest.mark.parametrize("name", ["mailworker", "mailworker-tune"])
def test_a_python_that_is_too_old_is_named(tmp_path: Path, name: str) -> None:
    ran = _run_unbuilt(tmp_path, name, "(3, 9, 18)")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert ran.stderr.startswith(f"{name}: it needs Python 3.10 or later, and {sys.executable} is ")


def _run_unbuilt(folder: Path, name: str, version: str) -> subprocess.CompletedProcess[str]:
    """Runs bin/`name` of a tree without compiled modules, by a Python that takes itself for `version`."""
    shutil.copytree(ROOT / "mailworker", folder / "mailworker", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    script = shutil.copytree(ROOT / "bin", folder / "bin") / name
    code = f"import runpy, sys; sys.version_info = {version}; runpy.run_path({str(script)!r}, run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
