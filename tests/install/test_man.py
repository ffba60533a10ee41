"""Manual pages: each command has one, and no tool that reads them complains."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from install import man

ROOT = Path(__file__).parents[2]
SOURCES = sorted(man.PAGES.glob("*.md"))
NAMES = [source.stem for source in SOURCES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    man.main(folder)
    return folder


def shown(page: Path) -> str:
    """What a reader sees, on one line."""
    environment = os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    text = subprocess.run(
        ["mandoc", "-Tutf8", page], env=environment, capture_output=True, text=True, check=True
    ).stdout
    return " ".join(re.sub(".\b", "", text).split())


def test_each_command_has_a_page() -> None:
    pages = {name.rpartition(".")[0] for name in NAMES}
    assert {path.name for path in (ROOT / "bin").iterdir()} <= pages
    assert "mailworker.conf.5" in NAMES


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_mandoc_finds_no_fault(folder: Path, name: str) -> None:
    linted = subprocess.run(
        ["mandoc", "-Tlint", "-W", "warning", folder / name], capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_a_page_tells_what_the_documentation_tells(folder: Path) -> None:
    text = shown(folder / "mailworker.8")
    assert "USR2 starts a new binary on the same sockets" in text
    assert "kill -USR2 $(cat mailworker.pid)" in text
    assert "<!--" not in text


def test_a_page_tells_all_switches() -> None:
    text = (man.PAGES / "mailworker.8.md").read_text(encoding="utf-8")
    assert {switch for switch in "?hvVtTqspecg" if f"`-{switch}`" not in text} == set()


def test_a_section_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no section"):
        man.expand("<!-- docs/running.md: No such section -->")


@pytest.mark.parametrize(
    ("markdown", "page"),
    [
        ("one `two` *three* **four**", ".PP\none \\fBtwo\\fR \\fIthree\\fR \\fBfour\\fR\n"),
        ("## A heading\n\ntext", ".SH A HEADING\ntext\n"),
        ("### a heading\n\ntext", '.SS "a heading"\ntext\n'),
        ("- one\n- two\n", '.IP "\\(bu" 3\none\n.IP "\\(bu" 3\ntwo\n'),
        ("```\n.conf 'a'\n```", ".PP\n.RS 4\n.nf\n\\&.conf 'a'\n.fi\n.RE\n"),
        ("|a|b|\n|-|-|\n|`-t`|test|\n", ".TP\n\\fB\\-t\\fR\ntest\n"),
        ("a [link](https://nginx.org/) and [one](tls.md)", ".PP\na link <https://nginx.org/> and one\n"),
        ("First one. Second one.", ".PP\nFirst one.\nSecond one.\n"),
        ("'quoted' \\\\ back", ".PP\n\\&'quoted' \\e back\n"),
    ],
)
def test_markdown_becomes_roff(markdown: str, page: str) -> None:
    assert man.render(markdown) == page


def test_a_table_of_three_columns_stays_a_table() -> None:
    page = man.render("|a|b|c|\n|-|-|-|\n|1|.2|3|\n").splitlines()
    assert page[:2] == [".PP", ".TS"]
    assert "T{\n\\&.2\nT}" in "\n".join(page)
