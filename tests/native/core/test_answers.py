from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.authentication.auth_http import recalled
from mailworker.wire import auth_answers
from mailworker.wire.auth_answers import Answer
from mailworker.wire.auth_response import Rejected

ANSWER = Answer(Rejected(b"no"), None)
OK = b"HTTP/1.1 200 OK\r\n"
DATE = b"Date: Sun, 29 Nov 2026 07:15:01 GMT\r\n"
PIECES = st.sampled_from(
    (*(OK, DATE, b"\r\nDate: ", DATE[6:-2], b"Date: ", b"\r\n", b"\r", b"\n", b"\0", b"Auth-Status: OK\r\n"), b"x" * 29)
)


@pytest.mark.parametrize("data", [OK + b"\r\n", OK + DATE + b"\r\n", OK + DATE + DATE + b"\r\n"])
def test_an_answer_is_found_without_its_first_date(data: bytes) -> None:
    known = {data.replace(DATE, b"", 1): ANSWER}
    assert recalled(known, data) is auth_answers.recalled(known, data) is ANSWER


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\r\n\r\n", DATE + b"\r\n", OK + DATE, OK + DATE[:-1] + b"\n", OK + b"\r\n" + DATE),
        *(OK + b"Date: x\r\n\r\n", OK + DATE.replace(b"2026", b"202\0") + b"\r\n", OK + b"Date: \r\n\r\n"),
        *(OK + DATE.lower() + b"\r\n", OK + DATE + b"Via: 1\r\n\r\n", OK + DATE + b"\r\nbody", OK[:-2] + b"\n\r\n\r\n"),
    ],
)
def test_another_header_is_not_found(data: bytes) -> None:
    known = {OK + b"\r\n": ANSWER}
    assert recalled(known, data) is auth_answers.recalled(known, data) is None


@given(st.lists(PIECES).map(b"".join), st.lists(PIECES).map(b"".join))
@example(OK + DATE + b"\r\n", b"")
def test_both_find_the_same(data: bytes, other: bytes) -> None:
    known = {auth_answers.without_date(each): Answer(Rejected(each), None) for each in (data, other, other + b"\r\n")}
    for each in (data, other, data + b"\r\n\r\n", data + other, OK + data + b"\r\n"):
        assert recalled(known, each) is auth_answers.recalled(known, each)


@pytest.mark.parametrize("arguments", [(), ({},), ({}, "text"), ([], OK + b"\r\n")])
def test_wrong_arguments_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        recalled(*arguments)  # type: ignore[arg-type]
