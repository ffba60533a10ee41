from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mailworker.wire.quoted import quoted, unescaped


def test_quotes_and_backslashes_are_escaped() -> None:
    assert quoted(b'a"b\\c') == b'"a\\"b\\\\c"'


@given(st.binary(max_size=9))
def test_what_is_quoted_is_read_again(value: bytes) -> None:
    assert unescaped(quoted(value)[1:-1]) == value


def test_any_byte_may_be_escaped() -> None:
    assert unescaped(b'\\a\\\n\\\\\\"') == b'a\n\\"'
