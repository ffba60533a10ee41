"""The directives that name ways to log in."""

from __future__ import annotations

from itertools import product

import pytest

from mailworker.errors import ConfigError
from mailworker.model import METHOD_NAMES, AuthMethod
from tests.config.conftest import LoadServer

NOT_TAKEN = {"imap": {"apop", "none"}, "pop3": {"login", "none"}, "smtp": {"apop"}}
# With `plain`, POP3 turns LOGIN on too.
IMPLIED = {("pop3", "plain"): AuthMethod.PLAIN | AuthMethod.LOGIN}


def test_every_way_to_log_in_has_its_names() -> None:
    assert set(METHOD_NAMES) == set(AuthMethod)
    assert len({names.directive for names in METHOD_NAMES.values()}) == len(AuthMethod)


@pytest.mark.parametrize(("protocol", "method"), list(product(NOT_TAKEN, AuthMethod)), ids=str)
def test_a_protocol_takes_the_ways_to_log_in_that_it_knows(
    load_server: LoadServer, protocol: str, method: AuthMethod
) -> None:
    word = METHOD_NAMES[method].directive
    directives = f"protocol {protocol}; {protocol}_auth {word};"
    if word in NOT_TAKEN[protocol]:
        with pytest.raises(ConfigError, match=f'invalid value "{word}"'):
            load_server(directives)
    else:
        assert load_server(directives).dialogue.auth == IMPLIED.get((protocol, word), method)
