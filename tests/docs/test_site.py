"""The documentation site is built without a warning, its links lead somewhere, and its search finds every name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import quickjs

from mailworker.reference.entries import read_pages
from mailworker.reference.names import Described, describe
from tests.docs.test_configurations import ROOT
from tests.support.reference import anchor, title
from tests.support.site import target

ENTRIES = list(describe(read_pages()))
MARKDOWN = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
)  # fmt: skip
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

# What a worker of a browser has, for the one in which the site's search runs.
BROWSER = """
    var self = globalThis, console = {warn: () => {}, error: () => {}}, listeners = [], said = [];
    function addEventListener(kind, listener) { if (kind === "message") listeners.push(listener); }
    function postMessage(message) { said.push(message); }
    function tell(text) { said = []; for (const each of listeners) each({data: JSON.parse(text)}); }
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    ran = build("--site-dir", str(folder))
    assert ran.returncode == 0, ran.stderr
    return folder


def build(*options: str) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does. With --quiet, mkdocs would count no warnings."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "MAILWORKER_REPOSITORY": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("[x](absent.md)", "contains a link 'absent.md'"),
        ("[x](#absent)", "contains a link '#absent'"),
        ("![x](absent.svg)", "contains a link 'absent.svg'"),
    ],
)
def test_a_warning_is_an_error(text: str, warning: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text(f"# Title\n\n{text}\n")
    configuration = tmp_path / "mkdocs.yml"
    hook = ROOT / "tests" / "support" / "site.py"
    configuration.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\nsite_dir: site\nhooks: [{hook}]\nnav: [README.md]\n"
        "extra_css: []\n"
    )
    ran = build("-f", str(configuration))
    assert ran.returncode != 0
    assert warning in ran.stderr


@dataclass(slots=True)
class Html(HTMLParser):
    """What a page of the site has: places that links may lead to, and links."""

    path: Path
    places: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


class Search:
    """The search of the site: the script that its pages run, with the index that they load."""

    def __init__(self, site: Path) -> None:
        (worker,) = site.glob("assets/javascripts/workers/search.*.min.js")
        index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
        self._context = quickjs.Context()
        self._context.eval(BROWSER)
        self._context.eval(worker.read_text(encoding="utf-8"))
        assert self._tell({"type": 0, "data": {**index, "options": {"suggest": True}}}) == [{"type": 1}]

    def find(self, words: str) -> list[str]:
        """What is found, the best first: a page, or a section of one."""
        ((answer,),) = [self._tell({"type": 2, "data": words})]
        found = [result for page in answer["data"]["items"] for result in page]
        return [result["location"] for result in sorted(found, key=lambda result: -float(result["score"]))]

    def _tell(self, message: dict[str, Any]) -> Any:
        self._context.get("tell")(json.dumps(message))
        while self._context.execute_pending_job():
            pass
        return json.loads(self._context.eval("JSON.stringify(said)"))


@pytest.fixture(scope="session")
def search(site: Path) -> Search:
    return Search(site)


def place(described: Described) -> str:
    return f"reference/{described.page.name}.html#{anchor(title(described))}"


def test_every_name_is_among_the_first_two_results(search: Search) -> None:
    wanted: dict[str, set[str]] = {}
    for each in ENTRIES:
        wanted.setdefault(each.entry.name, set()).add(place(each))
    missed = {name: found[:3] for name, places in wanted.items() if not places & {*(found := search.find(name))[:2]}}
    assert missed == {}
    assert len(wanted) > 200


def test_a_variable_is_found_without_its_dollar_unless_it_is_another_name_or_a_word_of_english(search: Search) -> None:
    others = {each.entry.name for each in ENTRIES if not each.entry.name.startswith("$")}
    variables = [each for each in ENTRIES if each.entry.name.startswith("$") and "_" in each.entry.name]
    names = [each for each in variables if not any(name.startswith(each.entry.name[1:]) for name in others)]
    missed = [each.entry.name for each in names if place(each) not in search.find(each.entry.name[1:])[:3]]
    assert missed == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("certbot", "recipes/certificates.html"),
        ("logrotate", "recipes/logrotate.html"),
        ("fail2ban", "abuse.html#fail2ban"),
        ("crowdsec", "abuse.html#crowdsec"),
        ("kubernetes", "recipes/kubernetes.html"),
        ("outlook", "troubleshooting.html"),
        ("oauth", "recipes/oauth2.html"),
        ("upgrade", "running.html#upgrade-and-rollback"),
        ("haproxy", "recipes/haproxy.html"),
        ("moving from nginx", "moving-from-nginx.html"),
        ("log rotation", "recipes/logrotate.html"),
        ("certificate renewal", "certificates.html#renewal"),
        ("open relay", "control.html#is-my-backend-an-open-relay"),
    ],
)
def test_what_people_look_for_is_on_the_first_screen(search: Search, words: str, page: str) -> None:
    assert page in {found.partition("#")[0] if "#" not in page else found for found in search.find(words)[:5]}


def test_links_of_the_site_lead_to_what_is_there(site: Path) -> None:
    pages = {path: Html(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:|//", link) or path.name == "404.html":
                continue
            file, _, fragment = unquote(link).partition("#")
            goal = (path.parent / file.partition("?")[0]).resolve() if file else path
            goal = goal / "index.html" if goal.is_dir() else goal
            if not goal.exists() or (fragment and goal.suffix == ".html" and fragment not in pages[goal].places):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []
    assert len(pages) > 60


def test_every_link_of_a_list_has_a_text(site: Path) -> None:
    empty = re.compile(r"<li><a [^>]*>\s*</a>")
    assert [str(path) for path in site.rglob("*.html") if empty.search(path.read_text(encoding="utf-8"))] == []


def test_a_cell_of_a_table_of_sentences_has_the_name_of_its_column_for_phones(site: Path) -> None:
    troubles = (site / "troubleshooting.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr>\s*(<td.*?)</tr>", troubles, re.DOTALL)
    labels = {tuple(re.findall(r'<td data-label="([^"]*)"', row)) for row in rows}
    assert labels == {("The log says", "Why", "What to do"), ("What you see", "Why", "What to do")}
    assert "data-label" not in (site / "capacity.html").read_text(encoding="utf-8")  # columns of figures


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//|<link[^>]+"stylesheet"[^>]+href="(?:https?:)?//'
    )
    assert [path.name for path in site.rglob("*.html") if loaded.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("path", MARKDOWN, ids=str)
def test_links_of_a_document_lead_to_what_is_there(path: Path) -> None:
    assert list(_broken(path)) == []


def _broken(path: Path) -> Iterator[str]:
    """Links of a document that a code host would lead nowhere."""
    for link in LINK.findall(FENCE.sub("", (ROOT / path).read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, fragment = link.partition("#")
        goal = (ROOT / path.parent / file).resolve() if file else ROOT / path
        there = goal.exists() and goal.is_relative_to(ROOT)
        if not there or (fragment and goal.suffix == ".md" and fragment not in _headings(goal)):
            yield link


def _headings(path: Path) -> set[str]:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return {anchor(re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", heading)) for heading in HEADING.findall(text)}


@pytest.mark.parametrize(
    ("link", "page", "path"),
    [
        ("tls.md", "status.md", None),
        ("../tls.md", "reference/mail.md", None),
        ("../conf/mailworker.conf", "status.md", "conf/mailworker.conf"),
        ("../../conf/mailworker.conf", "recipes/haproxy.md", "conf/mailworker.conf"),
        ("docs/tls.md", "source/README.md", "docs/tls.md"),
        ("LICENSE", "source/README.md", "LICENSE"),
    ],
)
def test_links_out_of_the_documents_are_known(link: str, page: str, path: str | None) -> None:
    assert target(link, page) == path
