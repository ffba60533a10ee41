"""The files beside the pages are what the pages show."""

from __future__ import annotations

import pytest

from tests.recipes.stage import RECIPES

FILES = {
    "blackbox.yml": "checks.md",
    "certbot-hook": "certificates.md",
    "kubernetes.yaml": "kubernetes.md",
    "logrotate.conf": "logrotate.md",
    "prometheus.yml": "monitoring.md",
    "supervisord.conf": "supervisors.md",
}


def test_each_file_belongs_to_a_page() -> None:
    assert {path.name for path in RECIPES.iterdir() if path.suffix != ".md"} == set(FILES)


@pytest.mark.parametrize(("name", "page"), FILES.items())
def test_a_file_is_what_its_page_shows(name: str, page: str) -> None:
    page_text = (RECIPES / page).read_text(encoding="utf-8")
    assert f"]({name})" in page_text
    text = (RECIPES / name).read_text(encoding="utf-8")
    assert any(f"```{language}\n{text}```" in page_text for language in ("sh", "yaml", "ini", ""))


def test_the_index_leads_to_every_page() -> None:
    index = (RECIPES / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in RECIPES.glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
