"""Functions that give what literals and values come to; of `Line` itself see tests/native/core/test_line.py."""

from __future__ import annotations

from mailworker.variables.escapes import default
from mailworker.variables.line import Part, composed
from mailworker.variables.source import at
from tests.variables.facts import Session


def test_a_value_is_written_and_one_that_is_absent_is_not() -> None:
    parts: list[bytes | Part] = [
        Part(lambda facts: b"\n", b"-", default),
        b" ",
        Part(lambda facts: None, b"-", default),
        b" \xff%",
    ]
    assert composed(parts)(Session()) == b"\\x0A - \xff%"


def test_a_source_takes_the_place_of_a_function() -> None:
    def never(_: object) -> bytes:
        raise AssertionError

    parts: list[bytes | Part] = [Part(never, b"-", None, at("number")), b"|", Part(never, b"-", None, at("method"))]
    assert composed(parts)(Session(number=7)) == b"7|-"
