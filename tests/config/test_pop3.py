from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import LoadServer


def test_defaults(load_server: LoadServer) -> None:
    dialogue = load_server("protocol pop3;").dialogue
    assert dialogue.capabilities == (b"TOP", b"USER", b"UIDL")
    assert (dialogue.client_buffer, dialogue.greeting_delay, dialogue.greeting_capabilities) == (16384, 0.0, False)


def test_values_are_taken_and_capabilities_keep_their_order_and_bytes(load_server: LoadServer) -> None:
    dialogue = load_server(
        """
        protocol pop3; pop3_client_buffer 8k; pop3_capabilities 'B 1' A; pop3_capabilities ä A;
        smtp_greeting_delay 100ms; imap_greeting_capabilities on;
        """
    ).dialogue
    assert dialogue.capabilities == (b"B 1", b"A", "ä".encode(), b"A")
    assert (dialogue.client_buffer, dialogue.greeting_delay, dialogue.greeting_capabilities) == (8192, 0.0, False)


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("pop3_client_buffer x", '"pop3_client_buffer" directive invalid value'),
        ("pop3_capabilities", 'invalid number of arguments in "pop3_capabilities" directive'),
    ],
)
def test_bad_values_are_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol pop3; {directive};")
    assert caught.value.message == message
