"""Answers that come again: what is remembered means what the parser says, and holds no secret."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker.model import AuthMethod, InetAddress
from mailworker.wire import auth_answers
from mailworker.wire.auth_answers import MOST_ANSWERS, Answer, Answers, Reading, UsualAnswer, usual_answer
from mailworker.wire.auth_response import (
    KNOWN_HEADERS,
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
PARSED = Reading(usual_answer=lambda _: None)  # each answer is unusual
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


@pytest.mark.parametrize("reading", [Reading(), PARSED], ids=["usual", "parsed"])
@pytest.mark.parametrize(("data", "verdict"), VERDICTS.values(), ids=VERDICTS.keys())
def test_an_answer_means_the_same_whenever_it_comes(data: bytes, verdict: Verdict, reading: Reading) -> None:
    answers = Answers(reading=reading)
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
    answers = Answers(reading=PARSED)
    assert [answers.read(OK + SERVER + END) for _ in range(3)] == [Answer(BACKEND, None)] * 3
    assert len(parsers) == 1


@pytest.mark.parametrize(
    "header",
    [DATE, b"date: Sun, 29 Nov 2026 07:15:%02d GMT\r\n", b"X-Request-Id: %d\r\n", b"Server: a %d\r\nVary: *\r\n"],
    ids=["Date", "date", "X-Request-Id", "Server"],
)
def test_headers_that_do_not_count_may_change(header: bytes, parsers: list[AuthResponseParser]) -> None:
    answers = Answers(reading=PARSED)
    for number in range(60):
        assert answers.read(OK + header % number + SERVER + END) == Answer(BACKEND, None)
    assert len(parsers) == 1


@pytest.mark.parametrize("header", [b"Auth-User: %d\r\n", b"AUTH-PORT: 1%d\r\n", b"aUTH-wAIT: %d\r\n"])
def test_headers_that_count_may_not(header: bytes, parsers: list[AuthResponseParser]) -> None:
    answers = Answers(reading=PARSED)
    for number in range(9):
        data = NO + header % number + END
        assert answers.read(data) == parsed(data)
    assert len(parsers) == 9


def test_a_body_is_not_remembered(parsers: list[AuthResponseParser]) -> None:
    answers = Answers(reading=PARSED)
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
    answers = Answers(reading=PARSED)
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
    memories = (Answers(), Answers(reading=PARSED))
    for head in (*heads, *heads):
        for status in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 403 no\n", b""):
            data = status + head + end
            for answers in memories:
                assert read(answers, data) in (None, parsed(data))


USUAL = OK + SERVER
SERVER_ONLY, PORT_ONLY = SERVER.splitlines(keepends=True)


def test_a_usual_answer_needs_no_parser(parsers: list[AuthResponseParser]) -> None:
    answers = Answers()
    data = OK + SERVER + b"Auth-User: demo\r\n" + END
    answer = answers.read(data)
    assert answer == Answer(replace(BACKEND, login=b"demo"), None)
    assert auth_answers.recalled(answers.known, data) is answer
    assert not parsers


def test_no_more_than_a_thousand_usual_answers_are_remembered() -> None:
    answers = Answers()
    for number in range(MOST_ANSWERS + 1):
        answers.read(OK + SERVER + b"Auth-User: %d\r\n" % number + END)
    assert len(answers.known) == 1


@pytest.mark.parametrize(
    ("data", "meaning"),
    [
        (USUAL + END, (b"127.0.0.1", b"143", None, None)),
        (USUAL + b"AUTH-USER:  a b \r\n" + END, (b"127.0.0.1", b"143", b"a b", None)),
        (
            USUAL + "Auth-User: \u00e4\r\nX-Y:\r\nx-y: 1\r\n".encode() + END,
            (b"127.0.0.1", b"143", "\u00e4".encode(), None),
        ),
        (KEPT + SERVER + END, (b"127.0.0.1", b"143", None, 3)),
        (KEPT + SERVER + b"Connection: Keep-Alive\r\n" + END, (b"127.0.0.1", b"143", None, 3)),
        (KEPT + SERVER + b"Connection: Close\r\n" + END, (b"127.0.0.1", b"143", None, None)),
        (KEPT + SERVER + b"Transfer-Encoding: x\r\n" + END, (b"127.0.0.1", b"143", None, None)),
        (KEPT.replace(b"1.1", b"1.0") + SERVER + END, (b"127.0.0.1", b"143", None, None)),
    ],
)
def test_what_a_usual_answer_contains(data: bytes, meaning: UsualAnswer) -> None:
    assert usual_answer(data) == meaning
    assert Answers().read(data) == parsed(data)


OURS = sorted(name.decode() for name in KNOWN_HEADERS if name.startswith(b"auth-") and name != b"auth-user")
UNUSUAL = {
    **{name: data for name, (data, _) in ERRORS.items() if b"Auth-Server: " not in data},
    "nothing": b"",
    "no end": USUAL,
    "body": USUAL + END + b"x",
    "two headers": USUAL + END + END,
    "another status": USUAL.replace(b"200", b"201") + END,
    "another version": USUAL.replace(b"/1.1", b"/1.2").replace(b"/1.0", b"/1.2") + END,
    "long status": USUAL.replace(b"200", b"2000") + END,
    "refusal": NO + SERVER + END,
    "ok in lower case": USUAL.replace(b": OK", b": ok") + END,
    "no server": OK + PORT_ONLY + END,
    "no port": OK + SERVER_ONLY + END,
    "empty port": OK + SERVER_ONLY + b"Auth-Port:\r\n" + END,
    "unix": OK + b"Auth-Server: unix:/a\r\n" + PORT_ONLY + END,
    "two connections": USUAL + b"Connection: close\r\n" * 2 + END,
    "options": USUAL + b"Connection: keep-alive, close\r\n" + END,
    "long length": USUAL + b"Content-Length: 123456\r\n" + END,
    "negative length": USUAL + b"Content-Length: -1\r\n" + END,
    "empty length": USUAL + b"Content-Length:\r\n" + END,
    "folded": USUAL + b"X: 1\r\n 2\r\n" + END,
    "no colon": USUAL + b"X\r\n" + END,
    "space before colon": USUAL + b"X : 1\r\n" + END,
    "no name": USUAL + b": 1\r\n" + END,
    "hyphen": USUAL + b"-x: 1\r\n" + END,
    "underscore": USUAL + b"x_y: 1\r\n" + END,
    "line feed": USUAL + b"X: 1\n" + END,
    "too long": USUAL + b"X: %b\r\n" % (b"x" * 32768) + END,
    **{f"value with {byte}": USUAL + b"X: %c\r\n" % byte + END for byte in (*range(32), 127)},
    **{name: USUAL + name.encode() + b": 1\r\n" + END for name in OURS},
    "unknown header of ours": USUAL + b"Auth-New: 1\r\n" + END,
    "two users": USUAL + b"Auth-User: a\r\n" * 2 + END,
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_every_other_answer_is_parsed(data: bytes) -> None:
    assert usual_answer(data) is None
    assert read(Answers(), data) in (None, parsed(data))


def test_a_wrong_address_is_an_error_with_the_login() -> None:
    data = OK + b"Auth-User: demo\r\nAuth-Server: 127.0.0.256\r\n" + PORT_ONLY + END
    assert usual_answer(data) is not None
    assert read(Answers(), data) == parsed(data)
    assert "demo" in str(parsed(data))


@pytest.mark.parametrize(
    ("more", "unchanged"),
    [
        (b"", True),
        (b"X-Other: 1\r\n", True),
        (b"Auth-User: other\r\n", False),
        (b"Auth-Pass: other\r\n", False),
        (b"Auth-Backend-Mech: xoauth2\r\n", False),
        (b"Auth-Master-User: master\r\n", False),
    ],
)
def test_only_an_answer_with_the_address_alone_leaves_a_login_unchanged(more: bytes, unchanged: bool) -> None:
    answer = Answers().read(OK + SERVER + more + END)
    assert answer is not None
    assert isinstance(answer.verdict, Accepted)
    assert answer.verdict.unchanged is unchanged
    login, adopted = (Login(AuthMethod.PLAIN, b"name", Secret(b"password")) for _ in range(2))
    adopted.adopt(answer.verdict)
    assert (adopted == login) is unchanged


def test_a_verdict_that_was_replaced_may_change_the_login() -> None:
    answer = Answers().read(OK + SERVER + END)
    assert answer is not None
    assert isinstance(answer.verdict, Accepted)
    assert not replace(answer.verdict, login=b"other").unchanged
