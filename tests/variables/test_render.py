"""Functions that give a text."""

from __future__ import annotations

from mailworker.variables.render import joined
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
