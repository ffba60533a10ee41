"""Texts with $names, taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.variables.template import BadTemplate, Name, Template, parse, parse_leniently


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (b"", ()),
        (b"plain 100%", (b"plain 100%",)),
        (b"$a", (Name("a", b"$a"),)),
        (b"<$a_1>", (b"<", Name("a_1", b"$a_1"), b">")),
        (b"${a}b$C.$d", (Name("a", b"${a}"), b"b", Name("c", b"$C"), b".", Name("d", b"$d"))),
        (b"$12", (Name("1", b"$1"), b"2")),
        (b"$0", (Name("0", b"$0"),)),
        (b"${10}", (Name("10", b"${10}"),)),
    ],
)
def test_names_are_told_from_text(text: bytes, parts: tuple[bytes | Name, ...]) -> None:
    assert parse(text).parts == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"$", "invalid variable name"),
        (b"$ a", "invalid variable name"),
        (b"a$$b", "invalid variable name"),
        (b"${", "invalid variable name"),
        (b"${}", "invalid variable name"),
        (b"${a", 'the closing bracket in "a" variable is missing'),
        (b"${a-b}", 'the closing bracket in "a" variable is missing'),
        (b"${-}", 'the closing bracket in "" variable is missing'),
    ],
)
def test_what_is_no_name_is_refused_in_nginxs_words(text: bytes, message: str) -> None:
    with pytest.raises(BadTemplate) as error:
        parse(text)
    assert str(error.value) == message


def test_a_template_without_names_is_a_constant() -> None:
    assert parse(b"x").constant == b"x"
    assert parse(b"").constant == b""
    assert parse(b"x$y").constant is None


@pytest.mark.parametrize(("text", "name"), [(b"$x", "x"), (b"${x}", "x"), (b"$x$y", None), (b"x$x", None), (b"", None)])
def test_a_template_may_be_one_variable_alone(text: bytes, name: str | None) -> None:
    assert parse(text).only == name


def test_where_a_dollar_was_a_byte_only_known_names_are_names() -> None:
    text = b"$a$b ${a}$ $$a ${b} ${a $5 100$"
    assert parse_leniently(text, lambda name: name == "a").parts == (
        Name("a", b"$a"),
        b"$b ",
        Name("a", b"${a}"),
        b"$ $",
        Name("a", b"$a"),
        b" ${b} ${a $5 100$",
    )


@given(st.binary())
def test_without_known_names_any_text_stays_as_it_is(text: bytes) -> None:
    template = parse_leniently(text, lambda name: False)
    assert template.constant == text


@given(st.lists(st.sampled_from([b"$", b"{", b"}", b"a", b"B_", b"1", b" ", b"\xff"])).map(b"".join))
def test_a_template_has_all_of_its_text(text: bytes) -> None:
    def known(_: str) -> bool:
        return True

    assert b"".join(written(part) for part in parse_leniently(text, known).parts) == text


def written(part: bytes | Name) -> bytes:
    return part if isinstance(part, bytes) else part.written


def test_a_template_is_equal_by_what_it_holds() -> None:
    assert parse(b"$a", "x:1") == Template((Name("a", b"$a"),), "x:1")
