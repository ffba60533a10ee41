"""The smoke run finds every Python, and notices what it is there to notice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.long import smoke
from tests.long.pythons import pythons

INSTALLED = Path(sys.executable).with_name("mailworker")


def put(folder: Path, name: str, version: str, *, virtual: bool = False) -> None:
    """A program that answers as a Python of this version in `folder`."""
    base = "/elsewhere" if virtual else folder
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {folder}; echo {base}; echo {version} | tr . '\\n'\n")
    program.chmod(0o755)


def test_every_python_of_the_path_and_of_pyenv_is_found_once(tmp_path: Path) -> None:
    path, pyenv = tmp_path / "bin", tmp_path / "pyenv"
    put(path, "python3.11", "3.11.2")
    put(path, "python3.9", "3.9.1")
    put(path, "python3.11-config", "3.11.2")
    put(tmp_path / "venv", "python3.11", "3.11.2", virtual=True)
    put(pyenv / "versions" / "3.13.0" / "bin", "python3.13", "3.13.0")
    put(pyenv / "versions" / "3.13.0" / "bin", "python3", "3.13.0")
    put(pyenv / "versions" / "2.7.18" / "bin", "python2.7", "2.7.18")
    put(pyenv / "shims", "python3.12", "3.12.0")
    (path / "python3.10").symlink_to("nowhere")
    folders = ":".join(map(str, (path, tmp_path / "venv", tmp_path / "absent", pyenv / "shims", path)))
    found = pythons(folders, pyenv)
    assert [python.version for python in found] == [(3, 11, 2), (3, 13, 0)]
    assert found[0].program == path / "python3.11"


def test_what_is_installed_here_serves(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o711)
    smoke.serve(INSTALLED, tmp_path / "prefix")


def test_what_does_not_run_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "bin", "python3.11", "3.11.2")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "absent"))
    monkeypatch.setattr(smoke, "make_archive", lambda folder: folder / "absent.tar.gz")
    monkeypatch.setattr(smoke, "pythons", lambda path, pyenv: pythons(path.partition(":")[0], pyenv))
    assert smoke.main() == 1
    assert capsys.readouterr().out.startswith(f"Python 3.11.2 in {tmp_path / 'bin'}: ")
