from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.mail.authentication.auth_http import READING
from mailworker.wire import auth_answers
from mailworker.wire.auth_answers import Answer, Answers
from mailworker.wire.auth_response import Accepted, Rejected
from tests.wire.test_auth_answers import parsed, read
from tests.wire.test_auth_response import END, ERRORS, OK, SERVER, VERDICTS

PIECES = st.sampled_from(
    [
        *(
            b"Auth-User: ",
            b"auth-user",
            b"Auth-Pass: ",
            b"aUTH-pASS",
            b"Auth-Server: ",
            b"Auth-Port: ",
            b"Connection: ",
        ),
        *(
            b"Auth-Status: OK",
            b"Content-Length: ",
            b"Date: Sun, 29 Nov 2026 07:15:01 GMT\r\n",
            b"X",
            b"x-Y",
            b"0",
            b"_",
        ),
        *(b":", b": ", b" ", b"close", b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b"\0", b"\0user", b"\0pass", b"\x80"),
        *(b"\x7f", b"-", b"::1", b"127.0.0.1", b"host.example"),
    ]
)
HEADS = st.sampled_from([OK + SERVER, OK, b"HTTP/1.1 200\r\n", b""])


def told(answer: Answer, login: bytes | None, password: bytes | None) -> Answer:
    return Answer(Rejected(repr((answer, login, password)).encode()), None)


@given(HEADS, st.lists(PIECES).map(b"".join))
@example(OK, b"Auth-User:  a \r\nauth-pass")
@example(b"", b"Auth-User: \ra\r\nX: 1\r\nX:\r2\r\n")
def test_both_find_the_same(head: bytes, lines: bytes) -> None:
    for data in (head + lines, head + lines + END, head + lines + b"\r\n" + END):
        found = auth_answers.counting(data)
        assert READING.counting(data) == found
        known = {} if found is None else {found[0]: Answer(Accepted(None), None)}
        assert READING.recalled(known, data, told) == auth_answers.recalled(known, data, told)
        assert READING.recalled({}, data, told) is None
        answers = Answers(reading=READING)
        for _ in range(2):
            assert read(answers, data) in (None, parsed(data))


@pytest.mark.parametrize("data", [each for each, _ in (*VERDICTS.values(), *ERRORS.values())])
def test_both_find_the_same_in_real_answers(data: bytes) -> None:
    assert READING.counting(data) == auth_answers.counting(data)
    answers = Answers(reading=READING)
    for _ in range(2):
        assert read(answers, data) in (None, parsed(data))


def test_an_error_of_the_function_that_tells_is_raised() -> None:
    def fail(*_: object) -> Answer:
        raise MemoryError

    data = OK + b"Auth-User: a\r\n" + SERVER + END
    found = READING.counting(data)
    assert found is not None
    with pytest.raises(MemoryError):
        READING.recalled({found[0]: Answer(Accepted(None), None)}, data, fail)


@pytest.mark.parametrize("arguments", [(), ({},), ({}, b""), ({}, "text", told), ([], OK + END, told)])
def test_wrong_arguments_are_refused(arguments: tuple[object, ...]) -> None:
    call: Callable[..., object] = READING.recalled
    with pytest.raises((TypeError, AttributeError)):
        call(*arguments)


def test_only_bytes_are_read() -> None:
    call: Callable[..., object] = READING.counting
    with pytest.raises(TypeError):
        call("text")
