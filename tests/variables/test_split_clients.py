"""`split_clients`: what nginx does as well is held against it in tests/oracle."""

from __future__ import annotations

import pytest

from mailworker.variables.split_clients import SplitClients, murmur_hash2
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from tests.variables.facts import Session


@pytest.mark.parametrize(
    ("text", "place"),
    [(b"", 0), (b"a", 0x92685F5E), (b"abc", 0x13577C9B), (b"abcd", 0x26873021), (b"192.0.2.1", 0xC8DA48F3)],
)
def test_the_hash_is_murmurs_second_of_32_bits(text: bytes, place: int) -> None:
    assert murmur_hash2(text) == place


def test_the_part_that_completes_the_hundred_takes_the_last_hash_too() -> None:
    halves = SplitClients(parse(b"$remote_user"), ((5000, b"a"), (5000, b"b")))
    assert [bound for bound, _ in halves._bounds()] == [0x7FFFFFFF, 2**32]
    assert [bound for bound, _ in SplitClients(parse(b"x"), ((1, b"a"),))._bounds()] == [429496]
    assert set(halves.outcomes()) == {b"", b"a", b"b"}


def test_who_is_in_no_part_gets_nothing() -> None:
    split = Variables({"s": SplitClients(parse(b"$remote_user"), ((1, b"a"),))}).find("s")
    assert split(Session(remote_user=b"abc")) == b""


@pytest.mark.parametrize("source", [b"$remote_user", b"$remote_user_local", b"$auth_user", b"$protocol $remote_user"])
def test_each_spelling_of_a_user_is_in_one_part(source: bytes) -> None:
    parts = tuple((100, b"%d" % number) for number in range(100))
    split = Variables({"s": SplitClients(parse(source), parts)}).find("s")
    names = (b"anna@example.com", b"Anna@EXAMPLE.com", b"berta@example.com")
    small, large, other = (split(Session(remote_user=name, auth_user=name, attempts=1)) for name in names)
    assert small == large != other


def test_all_other_texts_are_split_as_nginx_does() -> None:
    parts = tuple((100, b"%d" % number) for number in range(100))
    split = Variables({"s": SplitClients(parse(b"$smtp_helo"), parts)}).find("s")
    assert split(Session(helo=b"Client")) != split(Session(helo=b"client"))
