"""Size budgets: no module over 400 lines, no class over 200, no function over 50.

`python -m tests.support.budget` names every one that is larger and exits with 1 if there is any. EXCEPTIONS has the
reasons of those that must be larger.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE = 400
CLASS = 200
FUNCTION = 50

FOLDERS = ("mailworker", "tests", "bench")

# "path" or "path:name" -> the reason why it is larger.
EXCEPTIONS: dict[str, str] = {
    "tests/oracle/difference_table.py": "one table, of a row for each difference from nginx",
}


def oversized(path: str, source: str) -> Iterator[str]:
    """Describe each module, class and function of `source` that is over its budget."""
    yield from _check(path, 1, "module", len(source.splitlines()), MODULE)
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.ClassDef):
            yield from _check(path, node.lineno, f"class {node.name}", _lines(node), CLASS)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _check(path, node.lineno, f"function {node.name}", _lines(node), FUNCTION)


def _check(path: str, line: int, what: str, size: int, budget: int) -> Iterator[str]:
    name = what.partition(" ")[2]
    if size > budget and (f"{path}:{name}" if name else path) not in EXCEPTIONS:
        yield f"{path}:{line}: {what} has {size} lines, budget {budget}"


def _lines(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def main() -> int:
    paths = sorted(path for folder in FOLDERS for path in Path(folder).rglob("*.py"))
    found = [text for path in paths for text in oversized(str(path), path.read_text(encoding="utf-8"))]
    for text in found:
        print(text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
