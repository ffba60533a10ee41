from __future__ import annotations

import pytest

from mailworker.mail.limits.keys import known_at_accept, rendered, tells_the_client
from mailworker.mail.record import SessionRecord
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from tests.mail.limits.settings import Known, zone


class Record(SessionRecord):
    """The part of a record that a key needs."""

    def __init__(self, client: str, login: bytes = b"") -> None:
        self.client = client
        self.login = login


@pytest.mark.parametrize(
    ("key", "at_accept", "of_client"),
    [
        ("$binary_remote_prefix", True, True),
        ("$remote_prefix", True, True),
        ("$remote_addr:$server_port", True, True),
        ("$remote_user", False, False),
        ("$remote_addr$remote_user", False, True),
        ("$named", False, False),
        ("$mapped", True, True),
        ("constant", True, False),
    ],
)
def test_a_key_tells_what_it_is_made_of(key: str, at_accept: bool, of_client: bool) -> None:
    sets = (("named", parse(b"$remote_user_domain")), ("mapped", parse(b"$remote_addr")))
    names = Variables({}, sets).used_by(zone(key).key)
    assert known_at_accept(names) is at_accept
    assert tells_the_client(names) is of_client


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("$binary_remote_addr$remote_user", bytes((192, 0, 2, 7)) + b"bob@example.com"),
        ("$remote_addr/$remote_user_local", b"192.0.2.7/bob"),
        ("$remote_user_domain", b"example.com"),
        ("$auth_user!", b"bob@example.com!"),
        ("$named", b"+bob@example.com"),
        ("$realip_remote_addr!", b"192.0.2.7!"),
    ],
)
def test_spellings_of_a_user_or_an_address_are_one_key(key: str, value: bytes) -> None:
    render = rendered(zone(key).key, Variables({}, (("named", parse(b"+$remote_user")),)))
    for client, user in (("192.0.2.7", b"bob@example.com"), ("::ffff:192.0.2.7", b"\0Bob@EXAMPLE.com \0")):
        assert render(Known(client, user)) == value


def test_a_key_needs_a_record_with_facts() -> None:
    with pytest.raises(AssertionError):
        rendered(zone("$protocol").key, Variables({}))(Record("192.0.2.7"))
