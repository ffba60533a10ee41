from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.authentication.auth_http import READING, recalled
from mailworker.wire import auth_answers
from mailworker.wire.auth_answers import Answer, Answers
from mailworker.wire.auth_response import Rejected
from tests.wire.test_auth_answers import UNUSUAL, USUAL, parsed, read
from tests.wire.test_auth_response import END, ERRORS, VERDICTS

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
        assert READING.without_date(each) == auth_answers.without_date(each)


@pytest.mark.parametrize("data", [*UNUSUAL.values(), *(each for each, _ in (*VERDICTS.values(), *ERRORS.values()))])
def test_both_find_the_same_answers_usual(data: bytes) -> None:
    assert READING.usual_answer(data) == auth_answers.usual_answer(data)
    assert read(Answers(reading=READING), data) in (None, parsed(data))


LINES = st.sampled_from(
    [
        *(b"Auth-User: ", b"Auth-Server: ", b"Auth-Port: ", b"auth-status: OK", b"Content-Length: ", b"Connection: "),
        *(b"Transfer-Encoding: ", b"Auth-Pass: ", b"X", b"x-Y", b":", b": ", b" ", b"close", b"keep-alive", b"12"),
        *(
            b"\r\n",
            b"\r\n",
            b"\r\n",
            b"\r",
            b"\n",
            b"\0",
            b"\x80",
            b"\x7f",
            b"-",
            b"::1",
            b"127.0.0.1",
            b"host.example",
        ),
    ]
)


@given(st.sampled_from([USUAL, b"HTTP/1.1 200\r\n", b""]), st.lists(LINES).map(b"".join))
def test_a_usual_answer_means_what_the_parser_says(head: bytes, lines: bytes) -> None:
    for data in (head + lines + END, head + lines + b"\r\n" + END, head + lines):
        usual = READING.usual_answer(data)
        assert usual == auth_answers.usual_answer(data)
        if usual is not None:
            assert read(Answers(reading=READING), data) == parsed(data)


@pytest.mark.parametrize("function", [READING.usual_answer, READING.without_date])
def test_only_bytes_are_read(function: Callable[[object], object]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        function("text")


@pytest.mark.parametrize("arguments", [(), ({},), ({}, "text"), ([], OK + b"\r\n")])
def test_wrong_arguments_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        recalled(*arguments)  # type: ignore[arg-type]
