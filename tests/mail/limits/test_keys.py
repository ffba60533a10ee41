from __future__ import annotations

import pytest

from mailworker.config.limit_auth import LIGHT
from mailworker.mail.limits.keys import _LIGHT, asked, key_of, known_at_accept, tells_the_client
from mailworker.mail.record import SessionRecord
from mailworker.variables.table import TABLE
from mailworker.variables.template import parse
from mailworker.variables.variables import Variables
from tests.mail.limits.settings import zone
from tests.variables.facts import Session

LENGTHS = (24, 48)
NONE = Variables({})


class Record(SessionRecord):
    """No more of a record than a key needs."""

    def __init__(self, client: str, login: bytes = b"") -> None:
        self.client = client
        self.login = login


def test_what_every_session_knows_is_what_variables_say() -> None:
    assert _LIGHT.keys() == LIGHT
    for host, port in (("192.0.2.7", 1), ("2001:db8::7", 1), ("unix:", None)):
        for name, light in _LIGHT.items():
            facts = Session(client=host, port=port, remote_user=b"user", attempts=1, prefix_lengths=LENGTHS)
            assert light(Record(host, b"user"), LENGTHS) == (TABLE[name](facts) or b""), name


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
    variables = Variables({}, sets)
    names = asked(zone(key), variables)
    assert known_at_accept(names) is at_accept
    assert tells_the_client(names) is of_client
    assert not variables.asked


def test_a_light_key_needs_no_facts() -> None:
    assert key_of(zone("$binary_remote_prefix"), NONE, LENGTHS)(Record("192.0.2.7")) == b"\xc0\0\2"
    assert key_of(zone("$remote_user"), NONE, LENGTHS)(Record("192.0.2.7", b"user")) == b"user"
