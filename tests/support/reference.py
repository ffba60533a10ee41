"""The pages of docs/reference, made from the entries in mailworker/reference and from the program itself.

`python -m tests.support.reference` writes them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

from mailworker.reference.entries import ENDS, VARIABLES, Page, read_pages
from mailworker.reference.names import Described, describe

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"

_MADE: Final = "<!-- Made by python -m tests.support.reference from mailworker/reference/entries. -->\n"
_CODE: Final = frozenset({"Syntax", "Default", "Context", "Letters"})


def render() -> dict[str, str]:
    """Each page by its file name."""
    described = list(describe(read_pages()))
    pages = {f"{page.name}.md": _page(page, list(group)) for page, group in groupby(described, attrgetter("page"))}
    return {"README.md": _index(described), **pages}


def _page(page: Page, described: Iterable[Described]) -> str:
    sections = [section for each in described for section in _section(each)]
    return "\n\n".join([f"# {page.title}", page.introduction, *sections, _MADE])


def _section(described: Described) -> Iterator[str]:
    entry = described.entry
    yield f"## {title(described)}"
    facts = [f"- {name}: {_spelled(name, value)}" for name, value in described.facts]
    if entry.nginx:
        facts.append(f"- nginx: [{_nginx_name(entry.nginx)}]({entry.nginx})")
    yield "\n".join(facts)
    yield entry.meaning
    if entry.example:
        yield f"```nginx\n{entry.example}```"


def title(described: Described) -> str:
    """The heading of an entry."""
    entry = described.entry
    return f"{entry.name} ({entry.context})" if entry.context else entry.name


def _spelled(name: str, value: str) -> str:
    return f"`{value}`" if name in _CODE and value not in ("none", "any block") else value


def _nginx_name(address: str) -> str:
    """The nginx module that a page of nginx's manual describes."""
    module = re.search(r"([^/]+)\.html", address)
    assert module
    return module[1]


def _index(described: Iterable[Described]) -> str:
    known = sorted(described, key=lambda each: (each.entry.name, each.entry.context))
    lists = [
        ("Directives", [each for each in known if each.page.name not in (VARIABLES, ENDS)]),
        ("Variables", [each for each in known if each.page.name == VARIABLES]),
        ("Why sessions end", [each for each in known if each.page.name == ENDS]),
    ]
    pages = "\n".join(f"- [{page.title}]({page.name}.md)" for page in read_pages())
    sections = [f"## {name}\n\n" + " ·\n".join(map(_link, found)) for name, found in lists]
    return (
        "# Reference\n\n"
        "Each directive, variable and end of a session has an entry. `mailworker --explain NAME` prints it.\n\n"
        f"{pages}\n\n" + "\n\n".join([*sections, _MADE])
    )


def _link(described: Described) -> str:
    return f"[{title(described)}]({described.page.name}.md#{anchor(title(described))})"


def anchor(heading: str) -> str:
    """The anchor of a heading, as code hosts and the documentation site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in render().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
