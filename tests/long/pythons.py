"""Which Pythons this machine has, from the oldest that mailworker runs on."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 10)
_NAME = re.compile(r"python3\.[0-9]+")
_ASK = "import sys; print(sys.prefix, sys.base_prefix, *sys.version_info[:3], sep='\\n')"
_PATIENCE = 30.0  # seconds


@dataclass(frozen=True, slots=True, order=True)
class Python:
    """One installation of Python; `program` runs it."""

    version: tuple[int, ...]
    prefix: str
    program: Path

    def __str__(self) -> str:
        return f"Python {'.'.join(map(str, self.version))} in {self.prefix}"


def pythons(path: str, pyenv: Path) -> list[Python]:
    """Those that are found in `path`, a PATH, and in pyenv's folder, each once, the oldest first."""
    found: dict[tuple[str, tuple[int, ...]], Python] = {}
    for program in _programs(path.split(os.pathsep), pyenv):
        python = _ask(program)
        if python is not None and python.version >= OLDEST:
            found.setdefault((python.prefix, python.version), python)
    return sorted(found.values())


def pyenv_folder() -> Path:
    """Where pyenv keeps its Pythons, be it there or not."""
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def _programs(folders: Iterable[str], pyenv: Path) -> Iterator[Path]:
    shims = pyenv / "shims"
    for folder in (*map(Path, folders), *sorted(pyenv.glob("versions/*/bin"))):
        if folder != shims and folder.is_dir():
            yield from sorted(program for program in folder.iterdir() if _NAME.fullmatch(program.name))


def _ask(program: Path) -> Python | None:
    """None for what does not run, and for a virtual environment, whose Python is found where that is."""
    try:
        ran = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    prefix, base, *version = ran.stdout.splitlines()
    return Python(tuple(map(int, version)), prefix, program) if prefix == base else None
