"""docs/sessions.md explains the letters of the reasons for which sessions end; the reasons are in the reference."""

from __future__ import annotations

import re

from mailworker.mail.end import End
from tests.docs.test_configurations import ROOT

PAGE = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
LETTER = re.compile(r"`(.)`")


def test_the_page_explains_each_letter_that_it_has_and_no_other() -> None:
    first, second = PAGE.split("The first letter")[1].split("[The reference]")[0].split("The second letter")
    assert set(LETTER.findall(first)) == {reason.pair[0] for reason in End}
    assert set(LETTER.findall(second)) == {reason.pair[1] for reason in End}
