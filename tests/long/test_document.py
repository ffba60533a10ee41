from __future__ import annotations

from tests.long.document import PAGE, updated


def test_the_figures_of_the_page_are_those_of_the_runs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == updated(page), "run: python -m tests.long.document"
