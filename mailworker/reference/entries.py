"""The manual's entries about directives, variables and ends of sessions. They are Markdown files in `entries/`.

A file begins with a title. Each heading of the second level begins an entry:

    ## proxy_timeout
    Syntax: proxy_timeout TIME;
    nginx: mail/ngx_mail_proxy_module#proxy_timeout

    What it means.

An example may follow, between fences. If a directive has different meanings in different blocks, its name is followed
by the block in parentheses. `nginx` is the closest page of nginx's manual: by default the one that the file names after
its title, and `none` means that there is no such page. `Since` is the version that introduced the name, by default the
first one. `Example: warns` and `Example: refused` are the results of `-t` for the example, which otherwise loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FIRST_VERSION: Final = "0.1.0"
LOADS: Final = "loads"

ENDS: Final = "ends"
VARIABLES: Final = "variables"

PAGES: Final = (
    *("core", "events", "mail", "authentication", "backends", "backend-tls", "tls", "protocols", "making-variables"),
    *("limits", "logs", "status", "control"),
    *(VARIABLES, ENDS),
)
"""The files of `entries/`, in the manual's order; the last two are not about directives."""

_FOLDER: Final = Path(__file__).with_name("entries")
_HEADING: Final = re.compile(r"([^ ]+)(?: \((\w+)\))?")
_EXAMPLE: Final = re.compile(r"^```nginx\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
_MANUAL: Final = "https://nginx.org/en/docs/"


@dataclass(frozen=True, slots=True)
class Entry:
    """The manual's entry for a name. `context` is its block, `nginx` the address of nginx's page; "" is none.

    `outcome` is the result of testing the example: LOADS, `warns` or `refused`.
    """

    name: str
    context: str
    syntax: tuple[str, ...]
    nginx: str
    since: str
    meaning: str
    example: str = ""
    outcome: str = LOADS


@dataclass(frozen=True, slots=True)
class Page:
    """A file of entries."""

    name: str
    title: str
    introduction: str
    entries: tuple[Entry, ...] = field(default=())


def read_pages() -> tuple[Page, ...]:
    """All files of `entries/`."""
    return tuple(read_page(name, (_FOLDER / f"{name}.md").read_text(encoding="utf-8")) for name in PAGES)


def read_page(name: str, text: str) -> Page:
    """Parse a file of entries. Raises ValueError for an invalid heading."""
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    title, _, rest = head.partition("\n")
    fields, introduction = _split_fields(rest)
    nearest = "".join(fields.get("nginx", []))
    entries = tuple(_read_entries(sections, nearest))
    return Page(name, title.removeprefix("# "), introduction, entries)


def _read_entries(sections: list[str], nearest: str) -> Iterator[Entry]:
    for section in sections:
        title, _, rest = section.partition("\n")
        heading = _HEADING.fullmatch(title)
        if heading is None:
            raise ValueError(
                f"invalid heading {title!r}: it must be a name, perhaps followed by a block in parentheses"
            )
        name, context = heading[1], heading[2] or ""
        fields, text = _split_fields(rest)
        example = _EXAMPLE.search(text)
        yield Entry(
            name,
            context,
            tuple(fields.get("Syntax", ())),
            _address(nearest, name, *fields.get("nginx", ())),
            fields.get("Since", [FIRST_VERSION])[0],
            _EXAMPLE.sub("", text).strip(),
            "" if example is None else example[1],
            fields.get("Example", [LOADS])[0],
        )


def _split_fields(text: str) -> tuple[dict[str, list[str]], str]:
    """The lines "Name: value" at the beginning, and the rest."""
    fields: dict[str, list[str]] = {}
    lines = text.splitlines(keepends=True)
    while lines and (match := re.fullmatch(r"(Syntax|nginx|Since|Example): (.+)\n", lines[0])):
        fields.setdefault(match[1], []).append(match[2])
        del lines[0]
    return fields, "".join(lines).strip()


def _address(nearest: str, name: str, given: str | None = None) -> str:
    """The address of nginx's page, by the entry's line `given`, or else by the file's `nearest`; "" for none."""
    if given is None:
        own = not name.startswith("$") and nearest
        return f"{_MANUAL}{nearest}.html#{name}" if own else ""
    if given.partition(" ")[0] == "none":
        return ""
    page, _, anchor = given.partition("#")
    return f"{_MANUAL}{page}.html#{anchor}" if anchor else f"{_MANUAL}{page}.html"
