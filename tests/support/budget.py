"""Size budgets: no module over 400 lines, no class over 200, no function over 50, and no line of C over 120 characters.

`python -m tests.support.budget` names all that is larger and exits with 1 if there is any. EXCEPTIONS has the
reasons of those that must be larger.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE = 400
CLASS = 200
FUNCTION = 50
LINE = 120

FOLDERS = ("mailworker", "tests", "bench")

# "path" or "path:name" -> the reason why it is larger.
EXCEPTIONS: dict[str, str] = {
    "bench/client.c": "one program, which the bench compiles by one command",
    "tests/oracle/difference_table.py": "one table, of a row for each difference from nginx",
}


def oversized(path: str, source: str) -> Iterator[str]:
    """Describe each module, class and function of `source` that is over its budget, and each line of C."""
    yield from _check(path, 1, "module", len(source.splitlines()), MODULE)
    for line, what, size, budget in _rooms_of_c(source) if path.endswith((".c", ".h")) else _rooms(path, source):
        yield from _check(path, line, what, size, budget)


def _rooms(path: str, source: str) -> Iterator[tuple[int, str, int, int]]:
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.ClassDef):
            yield node.lineno, f"class {node.name}", _lines(node), CLASS
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, f"function {node.name}", _lines(node), FUNCTION


def _rooms_of_c(source: str) -> Iterator[tuple[int, str, int, int]]:
    """Functions as clang-format lays them out: what begins at the margin, up to a brace there."""
    start, head = 0, ""
    for number, line in enumerate(source.splitlines(), 1):
        if len(line) > LINE:
            yield number, "line", len(line), LINE
        if re.match(r"\w", line):
            start, head = number, line
        elif line == "}":
            yield start, f"function {head.partition('(')[0].split()[-1].lstrip('*')}", number - start + 1, FUNCTION


def _check(path: str, line: int, what: str, size: int, budget: int) -> Iterator[str]:
    name = what.partition(" ")[2]
    if size > budget and (f"{path}:{name}" if name else path) not in EXCEPTIONS:
        yield f"{path}:{line}: {what} has {size} {'characters' if what == 'line' else 'lines'}, budget {budget}"


def _lines(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def main() -> int:
    files = (path for folder in FOLDERS for path in Path(folder).rglob("*.*") if path.suffix in {".py", ".c", ".h"})
    found = [text for path in sorted(files) for text in oversized(str(path), path.read_text(encoding="utf-8"))]
    for text in found:
        print(text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
