from __future__ import annotations

import pytest

from mailworker.model import AuthMethod
from tests.config.conftest import LoadServer


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_capabilities_keep_their_order_and_bytes(load_server: LoadServer, protocol: str) -> None:
    words = f"protocol {protocol}; {protocol}_capabilities 'B 1' A; {protocol}_capabilities ä A;"
    assert load_server(words).dialogue.capabilities == (b"B 1", b"A", "ä".encode(), b"A")


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_ways_to_log_in_are_one_set(load_server: LoadServer, protocol: str) -> None:
    dialogue = load_server(f"protocol {protocol}; {protocol}_auth cram-md5; {protocol}_auth external;").dialogue
    assert dialogue.auth == AuthMethod.CRAM_MD5 | AuthMethod.EXTERNAL


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_what_other_protocols_have_is_off(load_server: LoadServer, protocol: str) -> None:
    dialogue = load_server(f"protocol {protocol}; smtp_greeting_delay 1s; imap_greeting_capabilities on;").dialogue
    assert dialogue.greeting_delay == (1.0 if protocol == "smtp" else 0.0)
    assert dialogue.greeting_capabilities is (protocol == "imap")
