"""What the documentation site needs beyond mkdocs: files outside of docs/ that pages link to.

Pages are read on code hosts as well, so they link to the README, to `conf/` and to tests by relative paths. If the
address of the repository is known (MAILWORKER_REPOSITORY, as in setup.py), such links lead there; otherwise the files
become part of the site, in `source/`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from itertools import cycle
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]
REPOSITORY: Final = os.environ.get("MAILWORKER_REPOSITORY", "").rstrip("/")

SOURCE: Final = "source"
"""The place of files outside of docs/ in the site."""

_DOCS: Final = "docs"
# Pages of the site that are outside of docs/.
_PAGES: Final = ("CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md")
_FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?(\))")
_NUMBER: Final = re.compile(r"^# (?:Decision )?(?:[0-9]+[.:]? )?")
_TABLE: Final = re.compile(r"<table>.*?</table>", re.DOTALL)
_CELL: Final = re.compile(r"<(t[hd])[^>]*>(.*?)</\1>", re.DOTALL)
_PROSE: Final = 50  # characters of a cell
# Weights in the search: of an entry of the reference against a page, and against longer names that begin with its name;
# and of a design decision, which is for developers.
_ENTRY: Final = 8
_SHORTER: Final = 6
_DECISION: Final = 0.1


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside of docs/ that pages link to."""
    found = {path for file in [*files.documentation_pages()] for path in _outside(file.content_string, file.src_uri)}
    for name in _PAGES:
        found |= {name, *_outside((ROOT / name).read_text(encoding="utf-8"), f"{SOURCE}/{name}")}
    for path in sorted(found):
        if path in _PAGES or not REPOSITORY:
            files.append(_file(path, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change links to the places of files in the site."""
    page_uri = page.file.src_uri
    if page_uri == "reference/README.md":
        page.meta["search"] = {"exclude": True}  # it lists all names without describing them
    if page_uri == "decisions/README.md":
        markdown += _decisions(files)
    return "".join(part if part.startswith("```") else _rewritten(part, page_uri) for part in _split(markdown))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give the cells of tables with sentences the names of their columns: phones show each row as a list (site.css)."""
    return _TABLE.sub(lambda match: _labelled(match[0]), html)


def _labelled(table: str) -> str:
    cells = [(kind, re.sub(r"<[^>]+>", "", text).strip()) for kind, text in _CELL.findall(table)]
    labels = [text.replace('"', "&quot;") for kind, text in cells if kind == "th"]
    if len(labels) < 3 or max(len(text) for _, text in cells) < _PROSE:
        return table
    columns = cycle(labels)
    table = re.sub(r"<td", lambda _: f'<td data-label="{next(columns)}"', table)
    return table.replace("<table>", "<table data-rows>", 1)


@event_priority(-100)  # when the index is written
def on_post_build(config: MkDocsConfig) -> None:
    """Let the search find an entry before those of longer names, variables without their `$`, and decisions last."""
    path = Path(config.site_dir, "search", "search_index.json")
    index = json.loads(path.read_text(encoding="utf-8"))
    entries = [each for each in index["docs"] if re.match(r"reference/[\w-]+\.html#", each["location"])]
    heights = _heights({each["title"].split(" ")[0] for each in entries})
    for each in entries:
        name = each["title"].split(" ")[0]
        each["boost"] = _ENTRY * _SHORTER ** heights[name]
        if name.startswith("$"):
            each["text"] += f"<p>{name.removeprefix('$')}</p>"
    for each in index["docs"]:
        if each["location"].startswith("decisions/"):
            each["boost"] = _DECISION
    path.write_text(json.dumps(index, separators=(",", ":")), encoding="utf-8")


def _heights(names: Collection[str]) -> dict[str, int]:
    """How often each name is the beginning of longer ones, nested: `proxy` of `proxy_ssl`, that of `proxy_ssl_name`."""
    heights: dict[str, int] = {}
    for name in sorted(names, reverse=True):
        longer = [heights[other] for other in heights if other.startswith(name)]
        heights[name] = 1 + max(longer) if longer else 0
    return heights


def _rewritten(text: str, page_uri: str) -> str:
    def lead(match: re.Match[str]) -> str:
        path = target(match[2], page_uri)
        if path is None:
            return match[0]
        return f"{match[1]}{_address(path, page_uri)}{match[3] or ''}{match[4]}"

    return _LINK.sub(lead, text)


def target(link: str, page_uri: str) -> str | None:
    """The path in the repository that a page's link leads to; None where mkdocs resolves it."""
    from_source = page_uri.startswith(f"{SOURCE}/")
    place = page_uri.removeprefix(f"{SOURCE}/") if from_source else f"{_DOCS}/{page_uri}"
    path = normpath(str(PurePosixPath(place).parent / link))
    return path if from_source or not path.startswith(f"{_DOCS}/") else None


def _address(path: str, page_uri: str) -> str:
    if path.startswith(f"{_DOCS}/"):
        uri = path.removeprefix(f"{_DOCS}/")
    elif path == _DOCS:
        uri = "README.md"
    elif REPOSITORY and path not in _PAGES:
        return f"{REPOSITORY}/blob/HEAD/{path}"
    else:
        uri = f"{SOURCE}/{path}{'/README.md' if (ROOT / path).is_dir() else ''}"
    return relpath(uri, str(PurePosixPath(page_uri).parent))


def _outside(text: str, page_uri: str) -> Iterator[str]:
    for part in _split(text):
        if not part.startswith("```"):
            for match in _LINK.finditer(part):
                path = target(match[2], page_uri)
                if path is not None and not path.startswith(_DOCS):
                    yield path


def _split(text: str) -> Iterator[str]:
    """Fenced blocks, and the text between them."""
    position = 0
    for match in _FENCE.finditer(text):
        yield text[position : match.start()]
        yield match[0]
        position = match.end()
    yield text[position:]


def _file(path: str, config: MkDocsConfig) -> File:
    """A file of the repository as a file of the site; raises FileNotFoundError for a broken link."""
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"a page leads to {path}, which is not there")
    return File.generated(
        config, f"{SOURCE}/{path}", abs_src_path=str(ROOT / path), inclusion=InclusionLevel.NOT_IN_NAV
    )


def _decisions(files: Files) -> str:
    """A list of all notes, which code hosts show as the folder's listing."""
    notes = [file for file in files.documentation_pages() if file.src_uri.startswith("decisions/0")]
    titles = {PurePosixPath(each.src_uri).name: each.content_string.partition("\n")[0] for each in notes}
    return "\n" + "".join(f"\n- [{_NUMBER.sub('', title)}]({name})" for name, title in sorted(titles.items()))
