"""Puts the figures of bench/results.json into docs/performance.md, and draws docs/performance.svg from them.

python -m bench.report
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from bench.results import Row, cells

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"

ROW_HEIGHT = 18
LEFT, WIDTH, RIGHT = 200, 520, 60
DECADES = (0.1, 10.0)  # ratios at both ends of the plot
COLOURS = {True: "#2b8a3e", False: "#c92a2a"}


def table(machine: Mapping[str, str], rows: Mapping[str, Row]) -> Iterator[str]:
    """The table as lines of Markdown."""
    yield (
        f"{machine['date']}, {machine['processors']}, {machine['system']}, nginx {machine['nginx']}, "
        f"Python {machine['python']}, {machine['openssl']}.\n"
    )
    yield "| `python -m bench` | measure | nginx | mailworker | ratio | goal | reached |"
    yield "|---|---|--:|--:|--:|---|---|"
    for name, row in rows.items():
        _, theirs, ours, ratio, unit, goal, reached = cells(name, row)
        yield f"| `{name}` | {row['title']}, {unit} | {theirs} | {ours} | {ratio} | {goal} | {reached} |"


def plot(rows: Mapping[str, Row]) -> Iterator[str]:
    """Lines of SVG: the ratio of each row as a bar from 1, on a logarithmic scale."""
    shown = {name: row for name, row in rows.items() if row["ratio"] > 0}
    height = ROW_HEIGHT * (len(shown) + 2)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}" '
        'font-family="sans-serif" font-size="11">'
    )
    yield '<rect width="100%" height="100%" fill="white"/>'
    for ratio in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        x, colour = position(ratio), "#000" if ratio == 1 else "#ccc"
        yield f'<line x1="{x}" x2="{x}" y1="{ROW_HEIGHT}" y2="{height}" stroke="{colour}"/>'
        yield f'<text x="{x}" y="12" text-anchor="middle">{ratio}</text>'
    for number, (name, row) in enumerate(shown.items(), start=1):
        yield from _bar(ROW_HEIGHT * number, name, row)
    yield "</svg>"


def _bar(top: int, name: str, row: Row) -> Iterator[str]:
    one, end = position(1), position(row["ratio"])
    middle = top + 13
    yield f'<text x="{LEFT - 6}" y="{middle}" text-anchor="end">{escape(name)}</text>'
    yield (
        f'<rect x="{min(one, end)}" y="{top + 3}" width="{abs(end - one):.1f}" height="{ROW_HEIGHT - 6}" '
        f'fill="{COLOURS[row["met"]]}"/>'
    )
    yield f'<text x="{LEFT + WIDTH + 6}" y="{middle}">{row["ratio"]:.2f}</text>'


def position(ratio: float) -> float:
    """The place of a ratio in the plot; a ratio beyond an end is put there."""
    low, high = DECADES
    share = math.log(min(max(ratio, low), high) / low) / math.log(high / low)
    return round(LEFT + WIDTH * share, 1)


def put_between(page: str, text: str) -> str:
    """The page with `text` between its two marks."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}{text}{END}{rest.partition(END)[2]}"


def main() -> None:
    results = json.loads((ROOT / "bench" / "results.json").read_text(encoding="utf-8"))
    page = ROOT / "docs" / "performance.md"
    lines = "\n".join(table(results["machine"], results["rows"]))
    page.write_text(put_between(page.read_text(encoding="utf-8"), f"{lines}\n"), encoding="utf-8")
    drawing = "\n".join(plot(results["rows"]))
    page.with_suffix(".svg").write_text(f"{drawing}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
