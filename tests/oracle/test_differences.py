"""The table of differences, its document and the cases go together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.oracle import cases, configuration, places
from tests.oracle.cases import places as places_cases
from tests.oracle.difference_table import TABLE
from tests.oracle.differences import document
from tests.oracle.stage import CONTROL_SERVER
from tests.oracle.unseen_table import UNSEEN

CASES = (*cases.CASES, *places_cases.CASES)
ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "differences.md"


def test_document_is_made_from_the_table() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), (
        "run: python -m tests.oracle.differences > docs/differences.md"
    )


def test_every_difference_has_a_case_and_every_case_a_known_difference() -> None:
    assert {case.differs.name for case in CASES if case.differs} == set(TABLE)


def test_every_difference_can_be_seen() -> None:
    assert [case.name for case in CASES if case.differs and not (case.differs.ours or case.differs.theirs)] == []


def test_names_of_cases_are_unique() -> None:
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


def test_every_server_has_a_case() -> None:
    assert {case.server for case in cases.CASES} == set(configuration.SERVERS)
    assert {case.server for case in places_cases.CASES} == set(places.SERVERS) - {CONTROL_SERVER}


def test_what_no_dialogue_shows_is_shown_by_a_test() -> None:
    for entry in UNSEEN.values():
        path, _, name = entry.test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
