from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from mailworker.model import AuthMethod
from tests.config.conftest import LoadServer


@pytest.mark.parametrize(
    ("words", "methods"),
    [
        ("plain", AuthMethod.PLAIN),
        ("LOGIN cram-md5", AuthMethod.LOGIN | AuthMethod.CRAM_MD5),
    ],
)
def test_ways_to_log_in(load_server: LoadServer, words: str, methods: AuthMethod) -> None:
    assert load_server(f"protocol imap; imap_auth {words};").dialogue.auth == methods


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("imap_auth apop", 'invalid value "apop"'),
        ("imap_auth none", 'invalid value "none"'),
        ("imap_client_buffer x", '"imap_client_buffer" directive invalid value'),
    ],
)
def test_what_the_protocol_does_not_have_is_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol imap; {directive};")
    assert caught.value.message == message
