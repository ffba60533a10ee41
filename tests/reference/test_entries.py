"""Entries are read as they are written, and every example loads."""

from __future__ import annotations

import ast
import inspect
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from mailworker.config.command import Command
from mailworker.config.drafts import Context
from mailworker.config.load import directives, load
from mailworker.errors import ConfigError
from mailworker.mail import end
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.reference.entries import ENDS, PAGES, VARIABLES, Entry, Page, read_page, read_pages
from mailworker.reference.names import rows_of

OF_DIRECTIVES = [
    pytest.param(page, entry, id=f"{page.name}-{entry.name}")
    for page in read_pages()
    if page.name not in (ENDS, VARIABLES)
    for entry in page.entries
]

# Files that are read while a configuration is.
READ_AT_ONCE = {
    "mail.pass": b"secret",
    "policy.nonce": b"secret",
    "proxy.pass": b"secret",
    "current.key": bytes(80),
    "previous.key": bytes(80),
}

TEXT = """\
# Title
nginx: mail/ngx_mail_core_module

Introduction.

## one
Syntax: one A;
Syntax: one B;

Meaning.

```nginx
one a;
```

## two (status)
Syntax: two;
nginx: stream/ngx_stream_core_module#other
Since: 0.2.0
Example: warns

| a | b |

## three
nginx: none (Angie has it)

Meaning.

More.
"""


def test_a_page_is_read_as_it_is_written() -> None:
    assert read_page("x", TEXT) == Page(
        "x",
        "Title",
        "Introduction.",
        (
            Entry(
                "one",
                "",
                ("one A;", "one B;"),
                "https://nginx.org/en/docs/mail/ngx_mail_core_module.html#one",
                "0.1.0",
                "Meaning.",
                "one a;\n",
            ),
            Entry(
                "two",
                "status",
                ("two;",),
                "https://nginx.org/en/docs/stream/ngx_stream_core_module.html#other",
                "0.2.0",
                "| a | b |",
                outcome="warns",
            ),
            Entry("three", "", (), "", "0.1.0", "Meaning.\n\nMore."),
        ),
    )


def test_a_heading_of_several_words_is_no_name() -> None:
    with pytest.raises(ValueError, match="'two words'"):
        read_page("x", "# Title\n\n## two words\n\nMeaning.\n")


def test_pages_are_files_and_all_files_are_pages() -> None:
    folder = Path("mailworker/reference/entries")
    assert {path.stem for path in (Path(__file__).parents[2] / folder).glob("*.md")} == set(PAGES)


@pytest.mark.parametrize(("page", "entry"), OF_DIRECTIVES)
def test_an_entry_has_all_that_a_reader_wants(page: Page, entry: Entry) -> None:
    assert entry.meaning
    assert re.search(rf"^\s*{re.escape(entry.name)}\b", entry.example, re.MULTILINE)
    assert entry.syntax
    (row, *_) = rows_of(entry, page.entries, directives(PROTOCOLS))
    for syntax in entry.syntax:
        assert syntax.startswith(f"{entry.name} ")
        assert syntax.endswith(" { ... }" if row.block else ";")


@pytest.mark.parametrize(("page", "entry"), OF_DIRECTIVES)
def test_an_example_loads(page: Page, entry: Entry, tmp_path: Path) -> None:
    rows = rows_of(entry, page.entries, directives(PROTOCOLS))
    for name, content in READ_AT_ONCE.items():
        (tmp_path / name).write_bytes(content)
    path = tmp_path / "mailworker.conf"
    path.write_text(surrounded(entry.example, rows[0]), encoding="utf-8")
    if entry.outcome == "refused":
        with pytest.raises(ConfigError, match=f'"{entry.name}" is not served here'):
            load(path, protocols=PROTOCOLS, prefix=tmp_path)
    else:
        warnings = load(path, protocols=PROTOCOLS, prefix=tmp_path).warnings
        warns = entry.outcome == "warns" or (entry.name == "user" and os.geteuid() != 0)
        assert bool(warnings) == warns, warnings


def surrounded(example: str, row: Command) -> str:
    """A configuration with an example in the innermost block that its directive may stand in."""
    if example.startswith("mail {"):
        return f"events {{}} {example}"
    main = events = mail = server = shown = ""
    declares = re.search(r"^limit_\w+_zone ", example, re.MULTILINE)  # which stands in mail alone
    if Context.SERVER in row.contexts and row.contexts != Context.ANY and not declares:
        server = example
    elif Context.MAIL in row.contexts and row.contexts != Context.ANY:
        mail = example
    elif row.contexts == Context.EVENTS:
        events = example
    elif row.contexts == Context.STATUS:
        shown = f"status {{ {example} }}"
    elif row.contexts == Context.CONTROL:
        shown = f"control {{ {example} }}"
    else:
        main = example
    listen = "" if "listen " in server else "listen 143;"
    blocks = [main, shown]
    if row.name != "events":
        blocks.append(f"events {{ {events} }}")
    if row.name != "mail":
        source = "" if re.search(r"^auth_http ", mail, re.MULTILINE) else "auth_http 127.0.0.1:9;"
        blocks.append(f"mail {{ {source} {mail} server {{ {listen} {server} }} }}")
    return "\n".join(blocks)


def test_the_reasons_in_the_code_say_what_their_entries_say() -> None:
    (reasons,) = [
        node for node in ast.parse(inspect.getsource(end)).body if isinstance(node, ast.ClassDef) and node.name == "End"
    ]
    told = dict(
        zip((end.End[name].word for name in end.End.__members__), _texts_behind_assignments(reasons), strict=True)
    )
    (page,) = [page for page in read_pages() if page.name == ENDS]
    assert told == {entry.name: entry.meaning.partition("\n\n")[0] for entry in page.entries}


def _texts_behind_assignments(of: ast.ClassDef) -> list[str]:
    found = []
    for before, node in pairwise(of.body):
        if isinstance(before, ast.Assign):
            assert isinstance(node, ast.Expr)
            assert isinstance(node.value, ast.Constant)
            found.append(" ".join(str(node.value.value).split()))
    return found
