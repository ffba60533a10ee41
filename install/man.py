"""Manual pages from Markdown: `python -m install.man FOLDER` writes those of install/man there.

A page includes a section of the documentation by `<!-- docs/running.md: Signals of the master -->`, so that nothing is
told twice; `<!-- docs/reference -->` stands for the reference, whose order is that of its first page.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from mailworker import __version__

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = Path(__file__).with_name("man")
_INCLUDE: Final = re.compile(r"^<!-- (?P<path>[\w./-]+\.md): (?P<heading>.+) -->$", re.MULTILINE)
_REFERENCE: Final = "<!-- docs/reference -->"
_CHAPTER: Final = re.compile(r"^- \[.*\]\((?P<name>[\w-]+\.md)\)$", re.MULTILINE)
# A heading has begun one already.
_FIRST_PARAGRAPH: Final = re.compile(r"^(\.S[HS] .*\n)\.PP\n", re.MULTILINE)
_BOLD, _ITALIC, _PLAIN = "\\fB", "\\fI", "\\fR"
# Those that roff takes for others.
_CHARACTERS: Final = str.maketrans({"\\": "\\e", "-": "\\-", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"})
_MARKS: Final = {"strong_open": _BOLD, "strong_close": _PLAIN, "em_open": _ITALIC, "em_close": _PLAIN}


def main(folder: Path) -> None:
    """Write each page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(PAGES.glob("*.md")):
        (folder / source.stem).write_text(make_page(source), encoding="utf-8")


def make_page(source: Path) -> str:
    """The text of a page in man(7), from its Markdown; `source` is called as the page, such as `mailworker.8.md`."""
    name, _, section = source.stem.rpartition(".")
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())), timezone.utc)
    title = f'.TH {name.upper()} {section} "{made:%Y-%m-%d}" "mailworker {__version__}"\n'
    return "'\\\" t\n" + title + ".ad l\n" + render(expand(source.read_text(encoding="utf-8")))


def expand(text: str) -> str:
    """Put in what a page includes."""
    text = text.replace(_REFERENCE, "\n".join(_reference(ROOT / "docs" / "reference")))
    return _INCLUDE.sub(lambda found: _section(ROOT / found["path"], found["heading"]), text)


def _section(path: Path, heading: str) -> str:
    """What stands below a heading of a document; raises ValueError where there is none."""
    found = re.search(
        rf"^(?P<level>#+) {re.escape(heading)}\n(?P<text>.*?)(?=^(?!(?P=level)#)#+ |\Z)",
        path.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    if found is None:
        raise ValueError(f'{path} has no section "{heading}"')
    return found["text"].strip()


def _reference(folder: Path) -> Iterator[str]:
    """The chapters of the reference, the headings of its entries one level down."""
    if folder.is_dir():
        for found in _CHAPTER.finditer((folder / "README.md").read_text(encoding="utf-8")):
            yield (folder / found["name"]).read_text(encoding="utf-8").replace("\n## ", "\n### ")


def render(text: str) -> str:
    """Markdown in man(7)."""
    lines = "".join(f"{line}\n" for line in _blocks(MarkdownIt().enable("table").parse(text)))
    return _FIRST_PARAGRAPH.sub(r"\1", lines)


def _blocks(tokens: list[Token]) -> Iterator[str]:
    item = ""  # what the next paragraph begins with, in a list
    remaining = iter(tokens)
    for token in remaining:
        if token.type == "heading_open":
            words = _inline(next(remaining))
            yield f".SH {words.upper()}" if token.tag in ("h1", "h2") else f'.SS "{words}"'
        elif token.type == "list_item_open":
            item = '.IP "\\(bu" 3' if not token.info else f'.IP "{token.info}." 4'
        elif token.type == "paragraph_open":
            yield item or ".PP"
            item = ".IP" if token.level else ""
            yield from _lines(_inline(next(remaining)))
        elif token.type in ("fence", "code_block"):
            yield from (".PP", ".RS 4", ".nf")
            yield from (_guarded(_escaped(line)) for line in token.content.rstrip("\n").split("\n"))
            yield from (".fi", ".RE")
        elif token.type == "table_open":
            yield from _table(_rows(remaining))
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            item = ""


def _rows(tokens: Iterable[Token]) -> list[list[str]]:
    """The cells of a table up to its end, the heading's first."""
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "table_close":
            break
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_inline(token))
    return rows


def _table(rows: list[list[str]]) -> Iterator[str]:
    """Two columns are terms and what they mean; more are a table."""
    heading, *others = rows
    if len(heading) == 2:
        for term, meaning in others:
            yield from (".TP", _guarded(term), *_lines(meaning))
        return
    yield from (".PP", ".TS", "allbox;", " ".join(["lb"] * len(heading)), " ".join(["lx"] * len(heading)) + ".")
    yield "\t".join(heading)
    for row in others:
        yield "\t".join(f"T{{\n{_guarded(cell) or chr(92) + '&'}\nT}}" for cell in row)
    yield ".TE"


def _inline(token: Token) -> str:
    """The words of a paragraph, a heading or a cell."""
    words: list[str] = []
    address: list[str] = []
    for child in token.children or ():
        if child.type == "text":
            words.append(_escaped(child.content))
        elif child.type == "code_inline":
            words.append(f"{_BOLD}{_escaped(child.content)}{_PLAIN}")
        elif child.type == "softbreak":
            words.append("\n")
        elif child.type == "link_open":
            target = str(child.attrs.get("href", ""))
            address.append(f" <{_escaped(target)}>" if target.startswith("http") else "")
        elif child.type == "link_close":
            words.append(address.pop())
        else:
            words.append(_MARKS.get(child.type, ""))
    return "".join(words)


def _lines(words: str) -> Iterator[str]:
    """Each sentence begins a line, as man(7) wishes."""
    for line in re.sub(r"(?<=[a-z)][.:;]) +(?=[A-Z])", "\n", words.replace("\n", " ")).split("\n"):
        yield _guarded(line.strip())


def _escaped(text: str) -> str:
    return (
        text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    )


def _guarded(line: str) -> str:
    """A point or an apostrophe at the beginning is no request."""
    return f"\\&{line}" if line.startswith((".", "'")) else line


if __name__ == "__main__":
    main(Path(sys.argv[1]))
