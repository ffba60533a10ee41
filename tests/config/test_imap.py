from __future__ import annotations

import pytest

from mailworker.errors import ConfigError
from tests.config.conftest import LoadServer


def test_defaults(load_server: LoadServer) -> None:
    dialogue = load_server("protocol imap;").dialogue
    assert dialogue.capabilities == (b"IMAP4", b"IMAP4rev1", b"UIDPLUS")
    assert (dialogue.client_buffer, dialogue.greeting_delay, dialogue.greeting_capabilities) == (4096, 0.0, False)


def test_values_are_taken_and_capabilities_keep_their_order_and_bytes(load_server: LoadServer) -> None:
    dialogue = load_server(
        """
        protocol imap; imap_client_buffer 8k; imap_capabilities 'B 1' A; imap_capabilities ä A;
        smtp_greeting_delay 100ms; imap_greeting_capabilities on;
        """
    ).dialogue
    assert dialogue.capabilities == (b"B 1", b"A", "ä".encode(), b"A")
    assert (dialogue.client_buffer, dialogue.greeting_delay, dialogue.greeting_capabilities) == (8192, 0.0, True)


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("imap_client_buffer x", '"imap_client_buffer" directive invalid value'),
        (
            "imap_greeting_capabilities 1",
            'invalid value "1" in "imap_greeting_capabilities" directive, it must be "on" or "off"',
        ),
    ],
)
def test_bad_values_are_refused(load_server: LoadServer, directive: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server(f"protocol imap; {directive};")
    assert caught.value.message == message
