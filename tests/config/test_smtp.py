from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import Load, LoadServer


def test_defaults(load_server: LoadServer) -> None:
    dialogue = load_server("protocol smtp;").dialogue
    assert dialogue.capabilities == ()
    assert (dialogue.client_buffer, dialogue.greeting_delay, dialogue.greeting_capabilities) == (4096, 0.0, False)


def test_values_are_taken_and_capabilities_keep_their_order_and_bytes(load_server: LoadServer) -> None:
    dialogue = load_server(
        """
        protocol smtp; smtp_client_buffer 8k; smtp_capabilities 'B 1' A; smtp_capabilities ä A;
        smtp_greeting_delay 100ms; imap_greeting_capabilities on;
        """
    ).dialogue
    assert dialogue.capabilities == (b"B 1", b"A", "ä".encode(), b"A")
    assert (dialogue.client_buffer, dialogue.greeting_delay, dialogue.greeting_capabilities) == (8192, 0.1, False)


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("smtp_client_buffer x", '"smtp_client_buffer" directive invalid value'),
        ("smtp_greeting_delay x", '"smtp_greeting_delay" directive invalid value'),
    ],
)
def test_bad_values_are_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol smtp; {directive};")
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("protocol", "words", "meant"),
    [("smtp", "8BITMIME SIZE 1024", "SIZE 1024"), ("pop3", "TOP EXPIRE 60 UIDL", "EXPIRE 60")],
)
def test_a_parameter_without_quotes_is_warned_of(load_text: Load, protocol: str, words: str, meant: str) -> None:
    warnings = [text for _, text in load_text(f"events {{}} mail {{ {protocol}_capabilities {words}; }}").warnings]
    number = meant.split()[1]
    assert [text.partition(" in /")[0] for text in warnings] == [
        f'"{number}" is a capability of its own, did you mean "{meant}" in quotes?'
    ]
    assert not load_text(f'events {{}} mail {{ {protocol}_capabilities "{meant}" UIDL 8BITMIME; }}').warnings
