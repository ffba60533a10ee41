from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from mailworker.model import AuthMethod
from tests.config.conftest import Load, LoadServer


def test_defaults(load_server: LoadServer) -> None:
    dialogue = load_server("protocol sieve;").dialogue
    assert dialogue.capabilities == (b"IMPLEMENTATION mailworker", b"SIEVE ", b"VERSION 1.0")
    assert (dialogue.auth, dialogue.client_buffer) == (AuthMethod.PLAIN, 20480)


def test_each_server_without_rules_is_named_by_its_own_line(load_text: Load) -> None:
    text = "events {}\nmail {\nauth_http 127.0.0.1;\nserver { listen 4190; }\n%s\n}\n"
    message = 'no "SIEVE" in "sieve_capabilities": editors may offer no rules before the login in '
    settings = load_text(text % "server { listen 4191; protocol sieve; sieve_capabilities LANGUAGE; }")
    assert [warning.partition(message)[2].rpartition(":")[2] for _, warning in settings.warnings] == ["4", "5"]
    with pytest.raises(ConfigError, match=r'needed if "SIEVE" lists "enotify" in .*:5$'):
        load_text(text % 'server { listen 4191; protocol sieve; sieve_capabilities "SIEVE enotify"; }')


def test_capabilities_get_the_order_that_all_clients_take(load_server: LoadServer) -> None:
    dialogue = load_server(
        """
        protocol sieve; sieve_auth plain oauthbearer; sieve_client_buffer 4k;
        sieve_capabilities "VERSION 1.1" "MAXREDIRECTS 5" "NOTIFY mailto";
        sieve_capabilities "SIEVE fileinto enotify" LANGUAGE "IMPLEMENTATION ours, not theirs";
        """
    ).dialogue
    assert dialogue.capabilities == (
        b"IMPLEMENTATION ours, not theirs",
        b"SIEVE fileinto enotify",
        b"NOTIFY mailto",
        b"MAXREDIRECTS 5",
        b"LANGUAGE",
        b"VERSION 1.1",
    )
    assert (dialogue.auth, dialogue.client_buffer) == (AuthMethod.PLAIN | AuthMethod.OAUTHBEARER, 4096)


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("sieve_client_buffer x", '"sieve_client_buffer" directive invalid value'),
        ("sieve_auth apop", 'invalid value "apop"'),
        ("sieve_auth none", 'invalid value "none"'),
        ("sieve_capabilities", 'invalid number of arguments in "sieve_capabilities" directive'),
        ("sieve_capabilities Sieve", 'invalid capability "Sieve"'),
        ("sieve_capabilities 'SIEVE a\tb'", 'invalid capability "SIEVE a\tb"'),
        ("sieve_capabilities 'SIEVE a\nb'", 'invalid capability "SIEVE a\nb"'),
        (f"sieve_capabilities 'SIEVE {'x' * 1025}'", 'value of capability "SIEVE" is longer than 1024 bytes'),
        ("sieve_capabilities 'SASL PLAIN'", 'capability "SASL" cannot be listed, "sieve_auth" sets it'),
        ("sieve_capabilities STARTTLS", 'capability "STARTTLS" cannot be listed, "starttls" sets it'),
        ("sieve_capabilities 'OWNER me'", 'capability "OWNER" cannot be listed, it is known after the login'),
        ("sieve_capabilities UNAUTHENTICATE", 'capability "UNAUTHENTICATE" cannot be listed, it is refused'),
        ("sieve_capabilities 'SIEVE a' 'SIEVE b'", 'duplicate capability "SIEVE" in "sieve_capabilities"'),
        ("sieve_capabilities 'SIEVE enotify'", 'capability "NOTIFY" is needed if "SIEVE" lists "enotify"'),
    ],
)
def test_bad_values_are_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol sieve; {directive};")
    assert caught.value.message == message
