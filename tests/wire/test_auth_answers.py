"""Answers that come again: what is remembered means what the parser says, and holds no secret."""

from __future__ import annotations

import gc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.model import InetAddress
from mailworker.wire import auth_answers
from mailworker.wire.auth_answers import MOST_ANSWERS, Answer, Answers
from mailworker.wire.auth_response import Accepted, AuthResponseParser, InvalidResponse, Rejected, Verdict
from tests.wire.test_auth_response import END, ERRORS, NO, OK, SERVER, VERDICTS

BACKEND = Accepted(InetAddress("127.0.0.1", 143))
DATE = b"Date: Sun, 29 Nov 2026 07:15:%02d GMT\r\n"
KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nAuth-Status: OK\r\n"


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> list[AuthResponseParser]:
    """Those that were needed."""
    made: list[AuthResponseParser] = []

    class Counted(AuthResponseParser):
        def __init__(self, *, names: bool, nameless: bool) -> None:
            super().__init__(names=names, nameless=nameless)
            made.append(self)

    monkeypatch.setattr(auth_answers, "AuthResponseParser", Counted)
    return made


def parsed(data: bytes) -> Answer | str | None:
    parser = AuthResponseParser()
    parser.feed(data)
    try:
        verdict = parser.next()
    except InvalidResponse as error:
        return f"{error} {error.login!r}"
    return None if verdict is None else Answer(verdict, parser.missing())


def read(answers: Answers, data: bytes) -> Answer | str | None:
    try:
        return answers.read(data)
    except InvalidResponse as error:
        return f"{error} {error.login!r}"


@pytest.mark.parametrize(("data", "verdict"), VERDICTS.values(), ids=VERDICTS.keys())
def test_an_answer_means_the_same_whenever_it_comes(data: bytes, verdict: Verdict) -> None:
    answers = Answers()
    for _ in range(3):
        answer = answers.read(data)
        assert answer in (None, parsed(data))
        assert answer is None or answer.verdict == verdict


@pytest.mark.parametrize("data", [data for data, _ in ERRORS.values()], ids=ERRORS.keys())
def test_what_is_no_answer_is_none_whenever_it_comes(data: bytes) -> None:
    answers = Answers()
    answers.read(OK + SERVER + END)
    for _ in range(2):
        assert read(answers, data) in (None, parsed(data))


def test_a_part_of_an_answer_is_left_to_a_parser() -> None:
    whole = OK + SERVER + END
    answers = Answers()
    answers.read(whole)
    assert [answers.read(whole[:end]) for end in range(len(whole))] == [None] * len(whole)


def test_an_answer_is_parsed_once(parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    assert [answers.read(OK + SERVER + END) for _ in range(3)] == [Answer(BACKEND, None)] * 3
    assert len(parsers) == 1


@pytest.mark.parametrize(
    "header",
    [DATE, b"date: Sun, 29 Nov 2026 07:15:%02d GMT\r\n", b"X-Request-Id: %d\r\n", b"Server: a %d\r\nVary: *\r\n"],
    ids=["Date", "date", "X-Request-Id", "Server"],
)
def test_headers_that_do_not_count_may_change(header: bytes, parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    for number in range(60):
        assert answers.read(OK + header % number + SERVER + END) == Answer(BACKEND, None)
    assert len(parsers) == 1


@pytest.mark.parametrize("header", [b"Auth-User: %d\r\n", b"AUTH-PORT: 1%d\r\n", b"aUTH-wAIT: %d\r\n"])
def test_headers_that_count_may_not(header: bytes, parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    for number in range(9):
        data = NO + header % number + END
        assert answers.read(data) == parsed(data)
    assert len(parsers) == 9


def test_a_body_is_not_remembered(parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    whole = KEPT + SERVER + END
    assert [answers.read(whole + b"abcd"[:sent]) for sent in range(5)] == [
        *(Answer(BACKEND, 3 - sent) for sent in range(4)),
        Answer(BACKEND, None),
    ]
    assert len(parsers) == 1


def test_no_answer_with_a_password_is_remembered() -> None:
    answers = Answers()
    for head in (OK, NO, OK.replace(b"OK\r\nA", b"WAIT\r\nA")):
        for name in (b"Auth-Pass", b"auth-pass"):
            answers.read(head + name + b": hidden-value\r\n" + SERVER + END)
    texts = [each for each in gc.get_objects() if isinstance(each, dict)]
    assert not any(isinstance(key, bytes) and b"hidden-value" in key for each in texts for key in tuple(each))


def test_no_more_than_a_thousand_are_remembered(parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    for number in range(MOST_ANSWERS + 1):
        answers.read(OK + SERVER + b"Auth-User: %d\r\n" % number + END)
    before = len(parsers)
    answers.read(OK + SERVER + b"Auth-User: %d\r\n" % MOST_ANSWERS + END)
    assert len(parsers) == before  # the last one is there
    answers.read(OK + SERVER + b"Auth-User: 0\r\n" + END)
    assert len(parsers) == before + 1


def test_a_broken_date_hides_nothing() -> None:
    answers = Answers()
    answers.read(OK + SERVER + END)
    hidden = b"Date: \r\nAuth-Status: no, stay ou\r\n"
    assert answers.read(OK + hidden + SERVER + END) == Answer(Rejected(b"no, stay ou"), None)
    for byte in (b"\r", b"\n", b"\0"):
        data = OK + (DATE % 1).replace(b"2026", b"202" + byte) + SERVER + END
        assert read(answers, data) in (None, parsed(data))


LINES = st.sampled_from(
    [
        *(b"Auth-Status: OK", b"Auth-Status: no", b"auth-status: WAIT", b"Auth-Server: ::1", b"Auth-Port: 1", b""),
        *(DATE[:-2] % 1, DATE[:-2] % 2, b"Date: x", b"Date: \rx", b"date: y", b"Server: a", b"X: \0", b"X y: z", b"X"),
        *(b"Content-Length: 2", b"Connection: close", b"HTTP/1.1 200 OK", b" x", b"x:\ry", b"Auth-Pass: p", b"Via:1"),
    ]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])


@given(
    st.lists(st.lists(st.tuples(LINES, ENDS)).map(lambda lines: b"".join(map(b"".join, lines))), max_size=6),
    st.sampled_from([b"\r\n\r\n", b"\n\n", b"\r\n\r\nbody"]),
)
@example([b"Auth-Status: OK\nDate: Sun, 29 Nov 2026 07:15:01 GMT\r\nAuth-Port: 1"] * 2, b"\r\n\r\n")
def test_a_memory_changes_no_answer(heads: list[bytes], end: bytes) -> None:
    answers = Answers()
    for head in (*heads, *heads):
        for status in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 403 no\n", b""):
            data = status + head + end
            assert read(answers, data) in (None, parsed(data))
