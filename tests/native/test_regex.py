"""Regular expressions by PCRE2: what they find, how they fail, and what a match may cost."""

from __future__ import annotations

import gc
import pickle
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import Party, ProtocolError
from mailworker.native import regex
from mailworker.native.regex import LONGEST_SUBJECT, Regex
from mailworker.variables.regex import BadRegex
from tests.support.cpu_time import CpuTime
from tests.support.evil_patterns import EVIL


@pytest.mark.parametrize(
    ("pattern", "subject", "found"),
    [
        (rb"b", b"abc", [b"b"]),
        (rb"^b", b"abc", None),
        (rb"^(?<user>[^@]+)@(?P<domain>.+)$", b"a@b.c", [b"a@b.c", b"a", b"b.c"]),
        (rb"(x)?(y)(z)?", b"y", [b"y", None, b"y", None]),
        (rb"(?<!a)b(?=c)", b"ab bc", [b"b"]),
        (rb"", b"x", [b""]),
        (rb"\xff.", b"\xff\x00", [b"\xff\x00"]),
        (rb"(?i)E", b"e", [b"e"]),
    ],
)
def test_a_match_gives_what_its_groups_took(
    pattern: bytes, subject: bytes, found: Sequence[bytes | None] | None
) -> None:
    assert Regex(pattern).search(subject) == found


def test_names_of_groups_are_known_by_number() -> None:
    assert Regex(rb"(?<User>a)(b)(?'rest'c)").groups == {"user": 1, "rest": 3}


def test_case_counts_unless_told_otherwise() -> None:
    assert Regex(b"a").search(b"A") is None
    assert Regex(b"a", True).search(b"A") == [b"A"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (rb"(a", 'pcre2_compile() failed: missing closing parenthesis in "(a"'),
        (rb"x{2,1}", 'pcre2_compile() failed: numbers out of order in {} quantifier in "x{2,1}" at "}"'),
        (rb"[", 'pcre2_compile() failed: missing terminating ] for character class in "["'),
    ],
)
def test_what_is_no_expression_is_refused_in_nginxs_words(pattern: bytes, message: str) -> None:
    with pytest.raises(BadRegex) as error:
        Regex(pattern)
    assert str(error.value) == message


@pytest.mark.parametrize(("pattern", "subject"), EVIL, ids=[pattern.decode() for pattern, _ in EVIL])
def test_no_match_takes_long(pattern: bytes, subject: bytes) -> None:
    expression = Regex(pattern)
    with CpuTime() as took:
        try:
            expression.search(subject)
        except ProtocolError as error:
            assert error.party is Party.CLIENT
            assert str(error).startswith("client sent what is too hard for regex")
    assert took.seconds < 0.5


def test_a_usual_expression_is_far_from_the_limit() -> None:
    expression = Regex(rb"([a-z0-9.]+)@([a-z0-9-]+\.)+example\.(org|com)$")
    host = b"label-of-a-host." * ((LONGEST_SUBJECT - 40) // 16)
    found = expression.search(b"somebody@" + host + b"example.org")
    assert found is not None
    assert found[1] == b"somebody"


def test_a_text_that_is_no_name_is_not_looked_at() -> None:
    expression = Regex(b"a")
    assert expression.search(b"a" * LONGEST_SUBJECT)
    with pytest.raises(ProtocolError, match='513 bytes, too many for regex "a"'):
        expression.search(b"a" * (LONGEST_SUBJECT + 1))


def test_an_expression_survives_a_change_of_process() -> None:
    sent: Regex = pickle.loads(pickle.dumps(Regex(b"(?<x>A)", True)))
    assert sent.search(b"a") == [b"a", b"a"]
    assert sent.groups == {"x": 1}


def test_without_the_library_an_expression_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex, "_opened", lambda: None)
    with pytest.raises(BadRegex, match='using regex "a" requires PCRE library'):
        Regex(b"a")


def test_expressions_that_nobody_has_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[int] = []
    monkeypatch.setattr(regex, "_free", lambda library, code, context, data: freed.append(code))
    Regex(b"a")
    gc.collect()
    assert len(freed) == 1


@given(
    st.binary(max_size=LONGEST_SUBJECT), st.sampled_from([rb"a(b)?", rb"^(.)(..)?$", rb"(\d+)\.(x*)", rb"[\x80-\xff]+"])
)
def test_python_finds_the_same(subject: bytes, pattern: bytes) -> None:
    match = re.search(pattern, subject)
    assert Regex(pattern).search(subject) == (None if match is None else [match[0], *match.groups()])
