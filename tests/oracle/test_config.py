"""The same configuration, to mailworker and to a real nginx: verdict, text, file and line agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.configurations import CASES, Case
from tests.oracle.verdicts import MODULE, NGINX, mailworker_verdict, nginx_verdict, without_hint, write

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(NGINX is None or MODULE is None, reason="no nginx with a dynamic mail module here"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mailworker_and_nginx_agree(case: Case, tmp_path: Path) -> None:
    write(case, tmp_path)
    theirs = nginx_verdict(case, tmp_path)
    ours = mailworker_verdict(case, tmp_path)
    if case.newer is None:
        assert without_hint(ours) == theirs
    else:
        assert ours == list(case.newer)
        assert theirs != ours, f"{case.name}: nginx agrees by now, the row needs no difference"
