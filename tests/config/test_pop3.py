from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from mailworker.model import AuthMethod
from tests.config.conftest import LoadServer


@pytest.mark.parametrize(
    ("words", "methods"),
    [
        ("plain", AuthMethod.PLAIN | AuthMethod.LOGIN),
        ("APOP", AuthMethod.APOP),
        ("cram-md5 apop", AuthMethod.CRAM_MD5 | AuthMethod.APOP),
    ],
)
def test_ways_to_log_in(load_server: LoadServer, words: str, methods: AuthMethod) -> None:
    assert load_server(f"protocol pop3; pop3_auth {words};").dialogue.auth == methods


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("pop3_auth login", 'invalid value "login"'),
        ("pop3_auth none", 'invalid value "none"'),
        ("pop3_client_buffer x", '"pop3_client_buffer" directive invalid value'),
    ],
)
def test_what_the_protocol_does_not_have_is_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol pop3; {directive};")
    assert caught.value.message == message
