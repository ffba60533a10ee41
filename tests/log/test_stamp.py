from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from mailworker.log.stamp import Stamp, error_log_time, iso8601_time, syslog_time

Form = Callable[[time.struct_time], str]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (error_log_time, r"1970/01/04 05:06:07"),
        (iso8601_time, r"1970-01-04T05:06:07[+-]\d\d:\d\d"),
        (syslog_time, r"Jan  4 05:06:07"),
    ],
)
def test_each_log_has_its_form(form: Form, expected: str) -> None:
    assert re.fullmatch(expected, form(time.gmtime(3 * 86400 + 5 * 3600 + 6 * 60 + 7)))


def test_a_second_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def form(local: time.struct_time) -> str:
        written.append(local.tm_sec)
        return str(local.tm_sec)

    stamp = Stamp(form)
    texts = []
    for now in (1.0, 1.9, 2.0, 1.5):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        texts.append(stamp.text())
    assert (texts, written) == (["1", "1", "2", "1"], [1, 2, 1])
