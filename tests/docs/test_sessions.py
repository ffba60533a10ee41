"""docs/sessions.md names each reason for which a session ends, as mailworker does."""

from __future__ import annotations

import re

from mailworker.mail.end import End
from tests.docs.test_configurations import ROOT

PAGE = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| `(..)` \| (.+) \|$", re.MULTILINE)
LETTER = re.compile(r"`(.)`")


def test_the_page_has_each_reason_with_its_status_and_letters() -> None:
    rows = [(word, int(status), pair) for word, status, pair, _ in ROW.findall(PAGE)]
    assert rows == [(reason.word, reason.status, reason.pair) for reason in End]


def test_the_page_explains_each_letter_that_it_has_and_no_other() -> None:
    first, second = PAGE.split("The first letter")[1].split("| Word |")[0].split("The second letter")
    assert set(LETTER.findall(first)) == {reason.pair[0] for reason in End}
    assert set(LETTER.findall(second)) == {reason.pair[1] for reason in End}
