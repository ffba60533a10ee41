"""Answers that come again: what is remembered means what the parser says, and holds no secret."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.model import AuthMethod, InetAddress
from mailworker.wire import auth_answers
from mailworker.wire.auth_answers import MOST_ANSWERS, Answer, Answers, Counting, counting
from mailworker.wire.auth_response import (
    Accepted,
    AuthResponseParser,
    InvalidResponse,
    Rejected,
    Verdict,
)
from mailworker.wire.login import Login
from mailworker.wire.secret import Secret
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
    [DATE, b"date:%02d\n", b"X-Request-Id: %d\r\n", b"Server: a %d\r\nVary: *\r\n", b"7-x:%d\r\n"],
    ids=["Date", "date", "X-Request-Id", "Server", "digit"],
)
def test_headers_that_do_not_count_may_change(header: bytes, parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    for number in range(60):
        assert answers.read(OK + header % number + SERVER + END) == Answer(BACKEND, None)
    assert len(parsers) == 1


@pytest.mark.parametrize(
    "headers",
    [
        *(b"Auth-User: %d\r\n", b"AUTH-USER:%d \n", b"auth-pass:   %d\r\n", b"Auth-Pass: %d\r\nAuth-User: a\r\n"),
        *(b"Auth-User: a%d\r\nAuth-User: b%d\r\n", b"Auth-User: %d\r\nAuth-User:\r\n", b"Auth-User: %d\r\nauth-user\n"),
        *(b"Auth-Pass: %d\r\nauth-pass\r\n", b"Auth-Pass: %d\r\nAuth-Backend-Mech: xoauth2\r\n"),
    ],
)
def test_the_name_and_the_password_may_change(headers: bytes, parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    for number in range(9):
        data = OK + headers.replace(b"%d", b"%d" % number) + SERVER + END
        assert answers.read(data) == parsed(data)
    assert len(parsers) == 1


@pytest.mark.parametrize(
    "data",
    [
        *(OK + b"Auth-Server: 127.0.0.%d\r\nAuth-Port: 143\r\n", NO + b"aUTH-wAIT: %d\r\n", NO + b"Auth-User: %d\r\n"),
        *(OK.replace(b": OK", b": WAIT") + b"Auth-Pass: %d\r\n", OK + b"Content-Type: %d\r\n" + SERVER),
    ],
)
def test_all_else_that_counts_is_parsed_anew(data: bytes, parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    for number in range(9):
        answer = data % number + END
        assert answers.read(answer) == parsed(answer)
    assert len(parsers) == 9


def test_a_body_is_not_remembered(parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    whole = KEPT + SERVER + END
    assert [answers.read(whole + b"abcd"[:sent]) for sent in range(5)] == [
        *(Answer(BACKEND, 3 - sent) for sent in range(4)),
        Answer(BACKEND, None),
    ]
    assert len(parsers) == 1


def test_no_name_and_no_password_is_remembered() -> None:
    answers = Answers()
    lines = (b"Auth-Pass: %b", b"auth-pass:%b", b"Auth-User: %b", b"Auth-User: %b\r\nAuth-Pass: %b")
    for head in (OK, NO, OK.replace(b": OK", b": WAIT")):
        for line in lines:
            answers.read(head + line.replace(b"%b", b"hidden-value") + b"\r\n" + SERVER + END)
    assert len(answers.known) == 3  # a password, a name, and both; of refusals and WAIT none
    assert b"hidden-value" not in b"".join(answers.known)
    for answer in answers.known.values():
        assert isinstance(answer.verdict, Accepted)
        assert (answer.verdict.login, answer.verdict.password) == (None, None)
    texts = [each for each in gc.get_objects() if isinstance(each, dict)]
    assert not any(isinstance(key, bytes) and b"hidden-value" in key for each in texts for key in tuple(each))


def test_no_more_than_a_thousand_are_remembered(parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    for number in range(MOST_ANSWERS + 1):
        answers.read(NO + b"Auth-Wait: %d\r\n" % number + END)
    before = len(parsers)
    answers.read(NO + b"Auth-Wait: %d\r\n" % MOST_ANSWERS + END)
    assert len(parsers) == before  # the last one is there
    answers.read(NO + b"Auth-Wait: 0\r\n" + END)
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
        *(b"Auth-User: a", b"Auth-User:  b ", b"auth-user", b"Auth-User: \rc", b"\0user", b"\0pass", b"auth-pass:"),
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
        for status in (
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nAuth-Status: OK\r\n" + SERVER,
            b"HTTP/1.0 403 no\n",
            b"",
        ):
            data = status + head + end
            assert read(answers, data) in (None, parsed(data))


STATUS = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (STATUS + END, Counting(STATUS + END, None, None)),
        (STATUS + b"Auth-Port: 1\nX: 1\r\n" + END, Counting(STATUS + b"Auth-Port: 1\n" + END, None, None)),
        (STATUS + b"auth-user: a b  \r\n" + END, Counting(STATUS + b"\0user\n" + END, b"a b", None)),
        (STATUS + b"AUTH-PASS\nA: 1\r\n" + END, Counting(STATUS + b"\0pass\nA: 1\r\n" + END, None, b"")),
        (b"X: 1\r\nY: 2\r\n" + END, Counting(b"X: 1\r\n" + END, None, None)),  # the first is the status line
        *((each, Counting(each, None, None)) for each in (STATUS + b"X: \r\r\n" + END, STATUS + b"X : 1\r\n" + END)),
        *((STATUS + each, None) for each in (b"", b"Auth-User: a\r\n", END + b"x", b"X: \0\r\n" + END)),
    ],
)
def test_what_counts_in_an_answer(data: bytes, expected: Counting | None) -> None:
    assert counting(data) == expected


@pytest.mark.parametrize(
    ("more", "only_renames"),
    [
        (b"", True),
        (b"X-Other: 1\r\n", True),
        (b"Auth-User: other\r\n", True),
        (b"Auth-Pass: other\r\n", False),
        (b"Auth-Backend-Mech: xoauth2\r\n", False),
        (b"Auth-Master-User: master\r\n", False),
    ],
)
def test_an_answer_with_address_and_name_alone_leaves_the_rest_of_a_login(more: bytes, only_renames: bool) -> None:
    answers = Answers()
    for _ in range(2):  # the second time from the cache
        answer = answers.read(OK + SERVER + more + END)
        assert answer is not None
        assert isinstance(answer.verdict, Accepted)
        assert answer.verdict.only_renames is only_renames
        login, adopted = (Login(AuthMethod.PLAIN, b"name", Secret(b"password")) for _ in range(2))
        adopted.adopt(answer.verdict)
        assert (replace(adopted, name=b"name") == login) is only_renames


def test_a_verdict_that_was_replaced_may_change_the_login() -> None:
    answer = Answers().read(OK + SERVER + END)
    assert answer is not None
    assert isinstance(answer.verdict, Accepted)
    assert not replace(answer.verdict, master=b"other").only_renames
