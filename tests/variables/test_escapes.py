"""Values in lines: for any bytes one line, from which they can be read back; nginx's own bytes are in tests/oracle."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.variables import escapes


@pytest.mark.parametrize(
    ("value", "default", "as_json"),
    [
        (b"plain", b"plain", b"plain"),
        (b"", b"", b""),
        (b'a"b\\c', b"a\\x22b\\x5Cc", b'a\\"b\\\\c'),
        (b"\r\n\t\b\f", b"\\x0D\\x0A\\x09\\x08\\x0C", b"\\r\\n\\t\\b\\f"),
        (b"\0\x1f\x7f", b"\\x00\\x1F\\x7F", b"\\u0000\\u001F\x7f"),
        ("é".encode(), b"\\xC3\\xA9", "é".encode()),
    ],
)
def test_each_form_has_nginxs_bytes(value: bytes, default: bytes, as_json: bytes) -> None:
    assert escapes.DEFAULT.value(value) == default
    assert escapes.JSON.value(value) == as_json
    assert escapes.NONE.value(value) == value


@given(st.binary())
def test_the_default_form_is_printable_and_reads_back(value: bytes) -> None:
    written = escapes.DEFAULT.value(value)
    assert all(0x20 <= byte <= 0x7E and byte != ord('"') for byte in written)
    assert re.sub(rb"\\x([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), written) == value


@given(st.binary())
def test_the_json_form_is_one_line_and_reads_back(value: bytes) -> None:
    written = escapes.JSON.value(value)
    assert all(byte >= 0x20 for byte in written)
    text = (b'"' + written + b'"').decode("utf-8", "surrogateescape")
    assert json.loads(text).encode("utf-8", "surrogateescape") == value


def test_what_is_absent_is_a_dash_or_nothing() -> None:
    assert [escape.absent for escape in escapes.ESCAPES.values()] == [b"-", b"", b""]
