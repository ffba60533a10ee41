"""Functions that give a text."""

from __future__ import annotations

from mailworker.variables.render import Part, composed, joined
from tests.variables.facts import Session


def test_literals_and_functions_stand_side_by_side() -> None:
    assert joined([b"100%", lambda facts: b"%s", b"-", lambda facts: b"x"])(Session()) == b"100%%s-x"
    assert joined([b"a%", lambda facts: b"b"])(Session()) == b"a%b"
    assert joined([b"a", b"%"])(Session()) == b"a%"
    assert joined([])(Session()) == b""


def test_a_function_alone_is_itself() -> None:
    def render(_: object) -> bytes:
        return b"x"

    assert joined([render]) is render


def test_a_value_is_written_and_one_that_is_absent_is_not() -> None:
    parts: list[bytes | Part] = [
        Part(lambda facts: b"a", b"-", bytes.upper),
        b" ",
        Part(lambda facts: None, b"-", bytes.upper),
        b" \xff%",
    ]
    assert composed(parts)(Session()) == b"A - \xff%"


def test_an_expression_takes_the_place_of_a_function() -> None:
    def never(_: object) -> bytes:
        raise AssertionError

    parts: list[bytes | Part] = [Part(never, b"-", None, "facts.number + more"), b"|", Part(never, b"-", None, "None")]
    assert composed(parts, {"more": 1})(Session(number=7)) == b"8|-"
