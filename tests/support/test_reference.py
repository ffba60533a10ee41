"""The pages of docs/reference are those made from the entries."""

from __future__ import annotations

import re

from mailworker.reference.names import all_names
from tests.support.reference import FOLDER, anchor, render

PAGES = render()


def test_the_pages_are_up_to_date() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert there == PAGES, "run python -m tests.support.reference"


def test_the_index_leads_to_every_entry() -> None:
    links = re.findall(r"\[([^]]+)\]\(([\w-]+\.md)#([^)]+)\)", PAGES["README.md"])
    assert sorted(name for name, _, _ in links) == all_names()
    for name, page, place in links:
        assert f"\n## {name}\n" in PAGES[page]
        assert anchor(name) == place
