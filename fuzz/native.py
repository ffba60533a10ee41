"""The C of mailworker/native under clang's sanitizers and libFuzzer; see native.c."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

NAME: Final = "native"
_HERE = Path(__file__).parent
_NATIVE = _HERE.parent / "mailworker" / "native"
_INCLUDE: Final = re.compile(r'#include "(.+)"')
_FLAGS: Final = (
    "-g",
    "-O1",
    "-fno-omit-frame-pointer",
    "-fno-sanitize-recover=all",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Werror",
)


def build(folder: Path) -> Path:
    """Compile the target for libFuzzer; returns the program."""
    return _compile(folder / "native", "clang", "-fsanitize=fuzzer,address,undefined")


def build_standalone(folder: Path, compiler: str = "cc") -> Path:
    """Compile the program that takes files; any compiler with sanitizers will do."""
    return _compile(folder / "native", compiler, "-fsanitize=address,undefined", "-DSTANDALONE")


def _compile(program: Path, *command: str) -> Path:
    """Compile all C files but those that include Python's header, directly or by others."""
    ours = [path for path in sorted(_NATIVE.glob("*/*.c")) if not _needs_python(path)]
    sources = [_HERE / "native.c", *ours]
    folders = [f"-I{_NATIVE / folder}" for folder in ("core", "relay", "shm", "tls", "wire")]
    libraries = ["-lssl", "-lcrypto"]
    subprocess.run([*command, *_FLAGS, *folders, "-o", program, *sources, *libraries], check=True)
    return program


def _needs_python(path: Path) -> bool:
    text = path.read_text()
    included = [header for name in _INCLUDE.findall(text) for header in _NATIVE.glob(f"*/{name}")]
    return "#include <Python.h>" in text or any(map(_needs_python, included))
