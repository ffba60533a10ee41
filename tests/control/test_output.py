from __future__ import annotations

import pytest

from mailworker.control.output import SESSIONS, WHO, Column, duration, size, table, word


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    columns = (Column("user", "user", word), Column("in", "in", size, right=True), Column("last", "x", word))
    assert [*table(columns, [{"user": "bob@example.com", "in": 1}, {"user": None, "in": 123456, "x": "a"}])] == [
        "user                 in  last",
        "bob@example.com       1  -",
        "-                120.6K  a",
    ]


def test_nobody_is_no_table() -> None:
    assert [*table(SESSIONS, [])] == []


def test_rows_behind_the_first_are_shown_as_they_come() -> None:
    rows = ({"user": "x" * (50 if number == 299 else 1), "count": 1, "proto": "imap", "hosts": ["::1", "a"]}
            for number in range(300))  # fmt: skip
    lines = [*table(WHO, rows)]
    assert lines[0] == "username  #  proto  (ips)"
    assert lines[1] == "x         1  imap   (::1 a)"
    assert len(lines) == 301


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (90061, "1d01h"), (10**7, "115d17h")],
)
def test_times_have_two_units(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1000, "1.0K"), (1 << 20, "1.0M"), (1 << 62, "4096.0P")]
)
def test_sizes_have_units(number: int, text: str) -> None:
    assert size(number) == text


def test_no_text_tells_a_terminal_anything() -> None:
    assert word("a\x1b[31m\nb\u202e\x9b") == r"a\x1B[31m\x0Ab\xE2\x80\xAE\xC2\x9B"
    assert word('Jürgen \\ "') == 'Jürgen \\ "'
    assert word("") == word(None) == "-"
    assert word(0) == "0"
