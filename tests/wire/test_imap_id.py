"""The arguments of IMAP's ID, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.wire.imap_id import Fields, by_name, read, write

VALUES = st.one_of(st.binary(max_size=9), st.sampled_from([b"\n", b'"', b"\\", b'"\n"', b"NIL", b") "]))
FIELDS = st.lists(st.tuples(VALUES, st.one_of(VALUES, st.none())), max_size=5).map(tuple)


@given(FIELDS)
def test_what_was_written_is_read(fields: Fields) -> None:
    assert read((write(fields),)) == fields


@given(FIELDS)
def test_literals_are_values_whatever_they_hold(fields: Fields) -> None:
    words = [word for field in fields for word in field]
    texts, literals, text = [], [], b"("
    for word in words:
        if word is None:
            text += b"NIL "
        else:
            texts.append(text)
            literals.append(word)
            text = b" "
    assert read((*texts, text + b")"), literals) == fields


@given(st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"")), min_size=1, max_size=4))
def test_any_bytes_are_fields_or_none(texts: list[bytes]) -> None:
    fields = read(texts, [b"x"] * (len(texts) - 1))
    assert fields is None or read((write(fields),)) == fields


@given(FIELDS.map(write), st.integers(0, 40), st.binary(max_size=2))
def test_any_damage_gives_fields_or_none(text: bytes, place: int, damage: bytes) -> None:
    fields = read((text[:place] + damage + text[place + len(damage) :],))
    assert fields is None or read((write(fields),)) == fields


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"NIL", {}),
        (b"", {}),
        (b'("Name" "x" "os" NIL)', {b"name": b"x"}),
        (b'("x-originating-ip" "192.0.2.1" "X-ORIGINATING-IP" "192.0.2.2")', {b"x-originating-ip": b"192.0.2.2"}),
    ],
)
def test_values_are_found_by_names_in_any_case(text: bytes, values: dict[bytes, bytes]) -> None:
    assert by_name(text) == values
