"""Functions that give what literals and values come to; of `Line` itself see tests/native/core/test_line.py."""

from __future__ import annotations

from mailworker.variables.escapes import default
from mailworker.variables.line import Slot, composed
from mailworker.variables.source import asked, at
from tests.variables.facts import Session


def test_a_value_is_written_and_one_that_is_absent_is_not() -> None:
    parts: list[bytes | Slot] = [
        Slot(b"", b"", b"-", default, asked(lambda facts: b"\n")),
        b" ",
        Slot(b"", b"", b"-", default, asked(lambda facts: None)),
        b" \xff%",
    ]
    assert composed(parts)(Session()) == b"\\x0A - \xff%"


def test_a_value_comes_from_its_source() -> None:
    parts: list[bytes | Slot] = [
        Slot(b"", absent=b"-", source=at("number")),
        b"|",
        Slot(b"", absent=b"-", source=at("method")),
    ]
    assert composed(parts)(Session(number=7)) == b"7|-"
