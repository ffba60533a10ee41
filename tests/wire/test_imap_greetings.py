"""What IMAP backends greet with is remembered, in bounds, and tells whether LOGIN may be sent at once."""

from __future__ import annotations

import pytest

from mailworker.wire.backend import imap_capabilities
from mailworker.wire.imap_greetings import Greetings, takes_literals

TAKES = b"* OK [CAPABILITY IMAP4rev1 LITERAL+] %d\r\n"


@pytest.mark.parametrize(
    ("greeting", "takes"),
    [
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=PLAIN] ready\r\n", True),
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL-] ready\r\n", True),
        (b"* ok [capability imap4rev1 literal+] ready\r\n", True),
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED] ready\r\n", False),
        (b"* OK [CAPABILITY IMAP4rev1 LogInDisabled LITERAL-] ready\r\n", False),
        (b"* OK [CAPABILITY IMAP4rev1 XLITERAL+ LITERAL LITERAL+X] ready\r\n", False),
        (b"* OK [CAPABILITY IMAP4rev1] takes LITERAL+\r\n", False),
        (b"* OK LITERAL+\r\n", False),
        (b"* OK [ALERT] [CAPABILITY LITERAL+]\r\n", False),
        (b"* PREAUTH [CAPABILITY LITERAL+]\r\n", False),
        (b"", False),
    ],
)
def test_a_greeting_tells_whether_login_may_be_sent_at_once(greeting: bytes, takes: bool) -> None:
    assert takes_literals(imap_capabilities(greeting)) == takes
    greetings = Greetings()
    for repeated in (False, True):
        assert greetings.hear("backend", greeting) == takes
        assert ("backend" in greetings.expected) == repeated
    assert greetings.expected["backend"].at_once == takes


def test_greetings_are_remembered_in_bounds() -> None:
    greetings = Greetings()
    for number in range(2000):
        for _ in range(2):
            assert greetings.hear(f"backend {number}", TAKES % number)
        kind = greetings.expected[f"backend {number}"]
        assert TAKES % number in kind.texts
        assert len(kind.texts) <= 256
        assert len(greetings.expected) <= 256
    for number in range(2000):
        for _ in range(2):
            assert not greetings.hear(f"backend {number}", b"* OK ready\r\n")
        assert len(greetings.expected) <= 1000


def test_what_never_comes_twice_is_never_foreseen() -> None:
    greetings = Greetings()
    for number in range(600):
        assert greetings.hear("backend", TAKES % number)
        assert not greetings.hear("another", b"* OK %d\r\n" % number)
        assert not greetings.expected
    long = TAKES % 1 + b" " * 1024
    for _ in range(3):
        assert greetings.hear("backend", long)
        assert not greetings.expected


def test_a_new_greeting_is_not_foreseen_before_it_comes_again() -> None:
    greetings = Greetings()
    for greeting, takes in ((TAKES % 1, True), (b"* OK ready\r\n", False), (TAKES % 2, True)):
        for repeated in (False, True, True):
            assert greetings.hear("backend", greeting) == takes
            assert ("backend" in greetings.expected) == repeated
            assert "another" not in greetings.expected
        assert greetings.expected["backend"].at_once == takes


def test_a_known_greeting_of_another_backend_is_expected_at_once() -> None:
    greetings = Greetings()
    greetings.hear("backend", TAKES % 1)
    greetings.hear("another", TAKES % 1)
    assert greetings.expected.keys() == {"another"}
