from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from mailworker.model import AuthMethod
from tests.config.conftest import LoadServer


@pytest.mark.parametrize(
    ("words", "methods"),
    [
        ("plain", AuthMethod.PLAIN),
        ("none login", AuthMethod.NONE | AuthMethod.LOGIN),
    ],
)
def test_ways_to_log_in(load_server: LoadServer, words: str, methods: AuthMethod) -> None:
    assert load_server(f"protocol smtp; smtp_auth {words};").dialogue.auth == methods


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("smtp_auth apop", 'invalid value "apop"'),
        ("smtp_greeting_delay x", '"smtp_greeting_delay" directive invalid value'),
        ("smtp_client_buffer x", '"smtp_client_buffer" directive invalid value'),
    ],
)
def test_what_the_protocol_does_not_have_is_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol smtp; {directive};")
    assert caught.value.message == message
