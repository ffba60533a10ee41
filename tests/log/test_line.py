from __future__ import annotations

import os
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import LONGEST_VALUE, escape
from mailworker.log.line import MAX_LINE, LineBuilder, describe
from mailworker.model import Level


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        (b"user@example.org", "user@example.org"),
        ("user", "user"),
        (b"", ""),
        (b"u\r\n2026/11/22 FAKE", r"u\x0D\x0A2026/11/22 FAKE"),
        (b"\x1b[31m", r"\x1B[31m"),
        (b"\x00\x7f", r"\x00\x7F"),
        (b'a", server: "b', r"a\x22, server: \x22b"),
        (b"a\\x0A", r"a\x5Cx0A"),
        ("grüß".encode(), "grüß"),
        (b"gr\xfc\xdf", r"gr\xFC\xDF"),
        ("\u009b31m", r"\xC2\x9B31m"),
        ("a\u2028b", r"a\xE2\x80\xA8b"),
        ("a\u202eb", r"a\xE2\x80\xAEb"),
        ("a\xa0b", r"a\xC2\xA0b"),
        ("\ud800", r"\xED\xA0\x80"),
    ],
)
def test_values_are_escaped_where_they_could_disturb(value: bytes | str, escaped: str) -> None:
    assert escape(value) == escaped


@given(st.binary() | st.text(st.characters()))
def test_escaped_values_are_printable_and_can_be_encoded(value: bytes | str) -> None:
    escaped = escape(value)
    assert escaped.isprintable()
    assert '"' not in escaped
    assert escaped.encode("utf-8").decode() == escaped


def test_a_long_value_is_cut_before_it_is_escaped() -> None:
    assert escape(b"\\" * 5000) == r"\x5C" * LONGEST_VALUE
    assert escape("x" * 5000) == "x" * LONGEST_VALUE


def test_a_line_is_that_of_nginx() -> None:
    line = LineBuilder().build(Level.INFO, "client logged in, client: 127.0.0.1", 7)
    assert re.fullmatch(
        rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[info\] %d#%d: \*7 client logged in, client: 127.0.0.1\n"
        % (os.getpid(), threading.get_native_id()),
        line,
    )


def test_a_line_without_a_connection_has_no_number() -> None:
    assert LineBuilder().build(Level.NOTICE, "exit").endswith(b": exit\n")


@pytest.mark.parametrize("level", list(Level))
def test_levels_have_names_of_nginx(level: Level) -> None:
    names = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"]
    assert b" [%s] " % names[level - 1].encode() in LineBuilder().build(level, "x")


@given(st.text(st.characters(), max_size=3000), st.integers(1) | st.none())
def test_a_record_is_one_bounded_line(message: str, connection: int | None) -> None:
    line = LineBuilder().build(Level.ERROR, message, connection)
    assert len(line) <= MAX_LINE
    assert not re.search(rb"[\x00-\x1f\x7f]", line[:-1])
    assert line.endswith(b"\n")


def test_a_long_message_is_cut() -> None:
    assert len(LineBuilder().build(Level.ERROR, "x" * 5000)) == MAX_LINE
    for shift in range(4):  # no character in two pieces
        assert "\U0001f4e7" in LineBuilder().build(Level.ERROR, "x" * shift + "\U0001f4e7" * 1000).decode()


def test_time_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = LineBuilder()
    monkeypatch.setenv("TZ", "UTC")
    for seconds, stamp in [(0.9, b"1970/01/01 00:00:00"), (1.0, b"1970/01/01 00:00:01"), (0.0, b"1970/01/01 00:00:00")]:
        monkeypatch.setattr("time.time", lambda seconds=seconds: seconds)
        assert builder.build(Level.INFO, "x").startswith(stamp)


def test_system_errors_are_described_as_nginx_does() -> None:
    assert describe(FileNotFoundError(2, "whatever")) == "(2: No such file or directory)"
