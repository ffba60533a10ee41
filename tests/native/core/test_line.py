"""Lines of literals and values, which are there twice, in C and in Python."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.native import core
from mailworker.native.core import line as native
from mailworker.variables.escapes import default, json, valid_json
from mailworker.variables.line import Line as PythonLine
from mailworker.variables.line import Slot
from mailworker.variables.source import at

LINES = {"here": native.Line, "Python": PythonLine}

each = pytest.mark.parametrize("make", LINES.values(), ids=LINES)


def told(make: Any, slots: list[Slot], last: bytes) -> Callable[..., bytes]:
    """A function that gives a line with these values."""
    line = make([slot._replace(source=at(f"v{place}")) for place, slot in enumerate(slots)], last)
    return lambda *values: line.of(SimpleNamespace(**{f"v{place}": value for place, value in enumerate(values)}))


VALUES = st.none() | st.binary() | st.text(st.characters(max_codepoint=255)) | st.integers() | st.floats()
HALVES = st.integers(0, 10**9).map(lambda number: number / 2000)


@each
def test_values_stand_among_literals(make: Any) -> None:
    line = told(make, [Slot(b"a ", b" b "), Slot(b""), Slot(b"%s%"), Slot(b"")], b"\xff\n")
    assert line(b"x\n", "\xe9", 17, 0.25) == b"a x\n b \xe9%s%170.250\xff\n"
    assert told(make, [], b"end")() == b"end"


@each
def test_what_is_absent_is_replaced_or_left_out_with_what_is_around_it(make: Any) -> None:
    line = told(make, [Slot(b"a", b"b", b"-"), Slot(b"c", b"d"), Slot(b"e", b"f", b"")], b"\n")
    assert line(None, None, None) == b"a-bef\n"


@each
def test_only_what_is_not_plain_is_written_otherwise(make: Any) -> None:
    line = told(make, [Slot(b"", b"", b"-", lambda value: b"<%b>" % value)], b"")
    plain = bytes(set(range(33, 127)) - set(b'"\\%'))
    assert line(plain) == plain
    for byte in set(range(256)) - set(plain):
        assert line(b"a%c" % byte) == b"<a%c>" % byte


@each
@pytest.mark.parametrize("length", [*range(1, 20), 64])
def test_bytes_that_are_not_plain_are_found_anywhere(make: Any, length: int) -> None:
    text = told(make, [Slot(b"", b"", None, lambda value: b"<%b>" % value)], b"")
    assert text(b"~!" * length) == b"~!" * length
    for byte in b' "%\\\x7f\x80\xff\0\n':
        for place in range(length):
            value = b"a" * place + bytes([byte]) + b"~" * (length - place - 1)
            assert text(value) == b"<%b>" % value


@each
@pytest.mark.parametrize("length", [*range(50), 1023, 1024, 1025])
def test_literals_of_any_length_are_whole(make: Any, length: int) -> None:
    literal = bytes(33 + number % 94 for number in range(length))
    line = told(make, [Slot(literal, literal, literal), Slot(literal, literal, literal)], literal)
    for value, expected in ((None, literal), (b"v", b"v"), ("t", b"t"), (17, b"17"), (0.5, b"0.500")):
        assert line(value, value) == (literal + expected + literal) * 2 + literal


@each
def test_a_long_line_is_whole(make: Any) -> None:
    text = told(make, [Slot(b"a" * 1000), Slot(b"b" * 24, b"c" * 5000), Slot(b"")], b"d" * 9000)
    assert (
        text(b"x" * 50_000, 1, 0.5)
        == b"a" * 1000 + b"x" * 50_000 + b"b" * 24 + b"1" + b"c" * 5000 + b"0.500" + b"d" * 9000
    )


@each
def test_numbers_have_all_their_digits(make: Any) -> None:
    text = told(make, [Slot(b"")], b"")
    tens = [10**digits + more for digits in range(20) for more in (-1, 0, 1)]
    for number in (-1, 2**32 - 1, 2**32, 2**63 - 1, -(2**63), 2**64, 10**30, *tens):
        assert text(number) == b"%d" % number
    for seconds in (
        0.0,
        -0.0,
        0.0005,
        0.0015,
        0.9995,
        2.0005,
        999999.9995,
        1e6,
        1e22,
        -1.5,
        float("inf"),
        float("nan"),
    ):
        assert text(seconds) == b"%.3f" % seconds


@each
def test_what_fits_nowhere_is_refused(make: Any) -> None:
    line = told(make, [Slot(b"")], b"")
    with pytest.raises(AttributeError):
        line()
    with pytest.raises(TypeError, match="a list is no value of a line"):
        line([])
    with pytest.raises(UnicodeEncodeError):
        line("\u0100")


@each
def test_what_a_function_raises_comes_out(make: Any) -> None:
    def fail(_: bytes) -> bytes:
        raise LookupError

    with pytest.raises(LookupError):
        told(make, [Slot(b"", b"", None, fail)], b"")(b"\n")


@given(
    st.lists(st.tuples(VALUES | HALVES, st.sampled_from([None, default, json, valid_json]), st.none() | st.binary()))
)
def test_both_write_the_same(items: list[tuple[Any, Any, bytes | None]]) -> None:
    slots = [Slot(b"%d:" % number, b",", absent, written) for number, (_, written, absent) in enumerate(items)]
    values = [value for value, _, _ in items]
    assert told(native.Line, slots, b"\n")(*values) == told(PythonLine, slots, b"\n")(*values)


@pytest.mark.skipif(core.accelerator is None, reason="Python does not look at what a line is made of")
def test_what_is_no_slot_is_refused() -> None:
    for slots in (None, [b""], [(b"", b"", None)], [("", b"", None, None)], [(b"", b"", 1, None)]):
        with pytest.raises(TypeError):
            native.Line(slots, b"")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        told(native.Line, [Slot(b"", b"", None, lambda value: "no bytes")], b"")(b"\n")  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError):
        native.Line([], "")  # type: ignore[arg-type]
