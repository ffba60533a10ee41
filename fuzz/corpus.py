"""The inputs that reach each part of a target: one per line in corpus/TARGET.txt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")


def read(target: str) -> list[bytes]:
    """All inputs of a target."""
    lines = (FOLDER / f"{target}.txt").read_text(encoding="ascii").splitlines()
    return [line.encode("ascii").decode("unicode_escape").encode("latin-1") for line in lines]


def write(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs, the shortest first."""
    lines = [
        data.decode("latin-1").encode("unicode_escape").decode("ascii")
        for data in sorted(set(inputs), key=lambda data: (len(data), data))
    ]
    (FOLDER / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def unpack(target: str, folder: Path) -> None:
    """Write one file for each input, as fuzzers need it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(read(target)):
        (folder / f"{number:05}").write_bytes(data)
