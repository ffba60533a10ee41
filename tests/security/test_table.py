"""docs/security.md promises nothing that no test proves."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "security.md"
ROWS = {*range(1, 219), 223, 225, 226}

_ROW = re.compile(r"^\| *([0-9]+) *\|(.+)\|([^|]+)\|([^|]+)\|$", re.MULTILINE)
_PROOF = re.compile(r"\[([^]]+)\]\(\.\./([^)]+)\)")


def test_every_row_is_there_once() -> None:
    numbers = [int(match[1]) for match in _ROW.finditer(DOCUMENT.read_text())]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) == ROWS


def test_every_row_names_tests_that_exist() -> None:
    for match in _ROW.finditer(DOCUMENT.read_text()):
        proofs = _PROOF.findall(match[3])
        assert proofs, f"row {match[1]} names no test"
        for name, path in proofs:
            assert f"def {name}(" in (ROOT / path).read_text(), f"row {match[1]}: no {name} in {path}"
