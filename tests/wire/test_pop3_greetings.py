"""What POP3 backends greet with is remembered, in bounds, with whether they list PLAIN."""

from __future__ import annotations

import pytest

from mailworker.wire.pop3_greetings import LONGEST, MOST, MOST_BACKENDS, Greetings, takes_plain

READY = b"+OK ready\r\n"


@pytest.mark.parametrize(
    ("listed", "takes"),
    [
        ([], False),
        ([b"USER\r\n", b"PIPELINING\r\n"], False),
        ([b"SASL PLAIN\r\n"], True),
        ([b"USER\r\n", b"sasl Cram-MD5 Plain\r\n", b"UIDL\r\n"], True),
        ([b"SASL LOGIN XPLAIN PLAINTEXT\r\n"], False),
        ([b"SASL\r\n", b"PLAIN\r\n"], False),
        ([b"XSASL PLAIN\r\n", b"IMPLEMENTATION SASL PLAIN\r\n"], False),
        ([b"\r\n", b" \r\n"], False),
    ],
    ids=repr,
)
def test_a_list_tells_whether_plain_may_be_sent_at_once(listed: list[bytes], takes: bool) -> None:
    assert takes_plain(listed) == takes


def test_a_backend_is_asked_once_when_it_repeats_its_greeting() -> None:
    greetings = Greetings()
    assert greetings.hear("backend", READY) is False
    assert greetings.hear("backend", READY) is None
    assert greetings.waiting == {"backend"}
    assert greetings.hear("backend", READY) is False  # a login that began before
    assert not greetings.expected


def test_plain_is_expected_after_the_greeting_that_lists_it() -> None:
    greetings = Greetings()
    for text in (READY, b"+OK another\r\n"):
        assert [greetings.hear("backend", text) for _ in range(2)] == [False, None]
        greetings.learn("backend", text)
        assert not greetings.waiting
        assert not greetings.expected
        assert greetings.hear("backend", text) is True
        assert text in greetings.expected["backend"][1].last
    assert greetings.hear("backend", b"+OK unknown\r\n") is False
    assert not greetings.expected
    assert greetings.hear("backend", READY) is True
    assert greetings.expected


def test_a_backend_that_has_refused_is_asked_once_more() -> None:
    greetings = Greetings()
    greetings.forget("backend")
    for text in (READY, b"+OK another\r\n"):
        assert [greetings.hear("backend", text) for _ in range(2)] == [False, None]
        greetings.learn("backend", text)
    assert greetings.hear("backend", READY) is True
    under_way = greetings.expected["backend"]
    greetings.forget("backend")
    assert not greetings.expected
    assert READY in under_way[1].last
    assert greetings.hear("backend", READY) is None
    greetings.learn("backend", READY)
    assert greetings.hear("backend", READY) is True


def test_a_backend_that_has_refused_for_a_reason_is_asked_once_more_after_a_while() -> None:
    greetings = Greetings()
    for _ in range(2):
        greetings.hear("backend", READY)
    greetings.learn("backend", READY, 100.0)
    greetings.forget("backend", 99.0)
    assert greetings.hear("backend", READY) is True
    greetings.forget("backend", 100.0)
    assert greetings.hear("backend", READY) is None
    assert not greetings.expected


def test_what_a_backend_lists_says_nothing_about_another_with_the_same_greeting() -> None:
    greetings = Greetings()
    for _ in range(2):
        greetings.hear("backend", READY)
    greetings.learn("backend", READY)
    assert [greetings.hear("another", READY) for _ in range(2)] == [False, None]
    assert greetings.hear("backend", READY) is True
    assert greetings.expected.keys() == {"backend"}


def test_a_timestamp_does_not_count_and_is_never_foreseen() -> None:
    greetings, stamped = Greetings(), b"+OK ready <1896.%d@host.example>\r\n"
    assert [greetings.hear("backend", stamped % number) for number in range(2)] == [False, None]
    greetings.learn("backend", stamped % 1)
    assert [greetings.hear("backend", stamped % number) for number in range(3)] == [True] * 3
    assert greetings.hear("backend", b"+OK ready \r\n") is False
    assert greetings.hear("backend", b"+OK ready <>\r\n") is False
    assert greetings.hear("backend", b"+OK ready <1 2@host>\r\n") is False
    assert not greetings.expected


@pytest.mark.parametrize(
    ("text", "heard"),
    [(b"+OK %d\r\n", MOST + 1), (b"+OK " + b"x" * (LONGEST - 6) + b"%d\r\n", 1)],
    ids=["varied", "long"],
)
def test_a_backend_that_never_repeats_a_greeting_is_never_asked(text: bytes, heard: int) -> None:
    greetings = Greetings()
    for number in range(heard):
        assert not greetings.waiting
        assert greetings.hear("backend", text % number) is False
    assert greetings.waiting == {"backend"}


def test_backends_are_remembered_in_bounds() -> None:
    greetings = Greetings()
    for number in range(3 * MOST_BACKENDS):
        backend = f"backend {number}"
        for _ in range(2):
            greetings.hear(backend, READY)
        if number % 2:
            greetings.learn(backend, READY)
            assert greetings.hear(backend, READY) is True
        assert len(greetings.expected) <= MOST_BACKENDS
        assert len(greetings.waiting) <= MOST_BACKENDS
        assert (backend in greetings.waiting) != (backend in greetings.expected)
    assert [greetings.hear("backend 1", READY) for _ in range(2)] == [False, None]


def test_a_backend_that_was_forgotten_while_it_was_asked_is_remembered_again() -> None:
    greetings = Greetings()
    for _ in range(2):
        greetings.hear("backend", READY)
    for number in range(MOST_BACKENDS):
        greetings.hear(f"backend {number}", READY)
    greetings.learn("backend", READY)
    assert greetings.hear("backend", READY) is True
