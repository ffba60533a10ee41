from __future__ import annotations

import pytest

from mailworker.config import limit_auth, limit_conn
from mailworker.shm.keys import GIVEN, KEYS, UNIX, key, number_of
from mailworker.variables.table import TABLE
from tests.variables.facts import Session

LENGTHS = (24, 44)


@pytest.mark.parametrize("name", KEYS)
def test_what_every_session_knows_is_what_variables_say(name: str) -> None:
    for host, port in (("192.0.2.7", 1), ("2001:db8::7", 1), ("::ffff:192.0.2.7", 1), (UNIX, None)):
        facts = Session(client=host, port=port, remote_user=b"user", attempts=1, prefix_lengths=LENGTHS)
        assert key(number_of(name), host, b"user", LENGTHS) == (TABLE[name](facts) or b"")


def test_a_key_that_every_session_knows_has_a_number() -> None:
    assert [number_of(name) for name in KEYS] == [1, 2, 3, 4]
    assert (number_of("protocol"), number_of(None)) == (GIVEN, GIVEN)


def test_directives_know_the_same() -> None:
    assert frozenset(KEYS) == limit_auth.LIGHT > limit_conn.LIGHT
