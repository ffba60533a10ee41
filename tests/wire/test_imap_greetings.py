"""What IMAP backends greet with tells whether LOGIN may be sent at once."""

from __future__ import annotations

import pytest

from mailworker.wire.backend import imap_capabilities
from mailworker.wire.imap_greetings import greeted_forms, login_forms


@pytest.mark.parametrize(
    ("greeting", "takes"),
    [
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=PLAIN] ready\r\n", True),
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL-] ready\r\n", True),
        (b"* ok [capability imap4rev1 literal+] ready\r\n", True),
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED] ready\r\n", False),
        (b"* OK [CAPABILITY IMAP4rev1 LogInDisabled LITERAL-] ready\r\n", False),
        (b"* OK [CAPABILITY IMAP4rev1 XLITERAL+ LITERAL LITERAL+X] ready\r\n", False),
        (b"* OK [CAPABILITY IMAP4rev1] takes LITERAL+\r\n", False),
        (b"* OK LITERAL+\r\n", False),
        (b"* OK [ALERT] [CAPABILITY LITERAL+]\r\n", False),
        (b"* PREAUTH [CAPABILITY LITERAL+]\r\n", False),
        (b"", False),
    ],
)
def test_a_greeting_tells_whether_login_may_be_sent_at_once(greeting: bytes, takes: bool) -> None:
    assert greeted_forms(greeting) == login_forms(imap_capabilities(greeting))
    assert greeted_forms(greeting) == (b"LOGINDISABLED" not in greeting.upper(), takes)
