from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.config.limit_auth import LimitZone
from mailworker.config.limit_conn import ConnZone
from mailworker.shm.keys import GIVEN, KEYS, UNIX, key, number_of, user_key
from mailworker.variables.table import TABLE
from tests.support.cpu_time import CpuTime
from tests.variables.facts import Session

LENGTHS = (24, 44)


@pytest.mark.parametrize("name", KEYS)
def test_what_every_session_knows_is_what_variables_say(name: str) -> None:
    for host, port in (("192.0.2.7", 1), ("2001:db8::7", 1), (UNIX, None)):
        facts = Session(client=host, port=port, remote_user=b"user", attempts=1, prefix_lengths=LENGTHS)
        assert key(number_of(name), host, b"user", LENGTHS) == (TABLE[name](facts) or b"")


@pytest.mark.parametrize("name", KEYS)
def test_an_ipv4_client_has_one_key_at_every_socket(name: str) -> None:
    assert key(number_of(name), "::ffff:192.0.2.7", b"", LENGTHS) == key(number_of(name), "192.0.2.7", b"", LENGTHS)


@pytest.mark.parametrize(
    ("login", "user"),
    [
        (b"alice", b"alice"),
        (b"Alice@EXAMPLE.com", b"alice@example.com"),
        (b" alice\t", b"alice"),
        (b"\0\0alice \0bob\0", b"alice"),
        ("Älìçe".encode(), b"alice"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}lice".encode(), b"alice"),
        ("\N{NO-BREAK SPACE}al\N{SOFT HYPHEN}ice".encode(), b"alice"),
        ("Straße".encode(), b"strasse"),
        ("\N{CYRILLIC CAPITAL LETTER A}".encode(), "\N{CYRILLIC SMALL LETTER A}".encode()),
        ("ALÍCE".encode("latin-1"), b"alice"),
        (b"\0 ", b""),
        (b"", b""),
    ],
)
def test_spellings_of_a_user_have_one_key(login: bytes, user: bytes) -> None:
    assert user_key(login) == user


def test_the_key_of_a_long_name_takes_little_time() -> None:
    """Marks in a row are sorted by insertion where a text is normalized, and a ligature may become 18 characters."""
    with CpuTime() as took:
        assert user_key(b"Alice" + 100_000 * "\u0301".encode() + 100_000 * "\u0323".encode()) == b"alice"
    assert took.seconds < 2.0
    assert user_key("\ufdfa".encode() * 321) == "\ufdfa".encode() * 321 != user_key("\ufdfa".encode() * 320)


@given(st.text().map(str.encode) | st.binary())
def test_the_key_of_a_key_is_itself(login: bytes) -> None:
    assert user_key(user_key(login)) == user_key(login)


def test_a_key_that_every_session_knows_has_a_number() -> None:
    assert [number_of(name) for name in KEYS] == [1, 2, 3, 4]
    assert (number_of("protocol"), number_of(None)) == (GIVEN, GIVEN)


def test_directives_know_the_same() -> None:
    assert frozenset(KEYS) == LimitZone.LIGHT > ConnZone.LIGHT
