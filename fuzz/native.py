"""The C of mailworker/native under clang's sanitizers and libFuzzer; see native.c."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

NAME: Final = "native"
_HERE = Path(__file__).parent
_NATIVE = _HERE.parent / "mailworker" / "native"
_OF_PYTHON: Final = (
    "attempts.h",
    "client.h",
    "core.h",
    "text.h",
    "walk.h",
    "path.h",
    "side.h",
    "source.h",
    "words.h",
)
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
    """Compile all C files except those that need Python, recognised by its headers."""
    files = [(path, path.read_text()) for path in sorted(_NATIVE.glob("*/*.c"))]
    ours = [path for path, text in files if not any(f'#include "{header}"' in text for header in _OF_PYTHON)]
    sources = [_HERE / "native.c", *ours]
    folders = [f"-I{_NATIVE / folder}" for folder in ("core", "relay", "tls")]
    libraries = ["-lssl", "-lcrypto"]
    subprocess.run([*command, *_FLAGS, *folders, "-o", program, *sources, *libraries], check=True)
    return program
