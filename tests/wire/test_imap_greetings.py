"""What IMAP backends greet with tells in which form a password may be sent."""

from __future__ import annotations

import pytest

from mailworker.wire.backend import imap_capabilities
from mailworker.wire.imap_greetings import LoginForms, greeted_forms, login_forms

WAITS, AT_ONCE = LoginForms(by_login=True), LoginForms(by_login=True, at_once=True)
PLAIN, IN_ITS_LINE = LoginForms(by_login=False), LoginForms(by_login=False, with_response=True)
TLS_FIRST = LoginForms(by_login=False, obstacle="upstream offers no login before STARTTLS")
NO_LOGIN = LoginForms(by_login=False, obstacle="upstream refuses LOGIN and does not offer AUTHENTICATE PLAIN")


@pytest.mark.parametrize(
    ("greeting", "forms"),
    [
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=PLAIN] ready\r\n", AT_ONCE),
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL-] ready\r\n", AT_ONCE),
        (b"* ok [capability imap4rev1 literal+] ready\r\n", AT_ONCE),
        (b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n", WAITS),
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED] ready\r\n", NO_LOGIN),
        (b"* OK [CAPABILITY IMAP4rev1 LogInDisabled LITERAL-] ready\r\n", NO_LOGIN),
        (b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGINDISABLED AUTH=PLAIN-CLIENTTOKEN] ready\r\n", NO_LOGIN),
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED STARTTLS] ready\r\n", TLS_FIRST),
        (b"* OK [CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED AUTH=PLAIN STARTTLS] ready\r\n", PLAIN),
        (b"* OK [capability imap4rev1 logindisabled sasl-ir auth=plain] ready\r\n", IN_ITS_LINE),
        (b"* OK [CAPABILITY IMAP4rev1 XLITERAL+ LITERAL LITERAL+X XLOGINDISABLED] ready\r\n", WAITS),
        (b"* OK [CAPABILITY IMAP4rev1] takes LITERAL+\r\n", WAITS),
        (b"* OK LITERAL+\r\n", WAITS),
        (b"* OK [ALERT] [CAPABILITY LITERAL+]\r\n", WAITS),
        (b"* PREAUTH [CAPABILITY LITERAL+]\r\n", WAITS),
        (b"", WAITS),
    ],
)
def test_a_greeting_tells_how_a_password_may_be_sent(greeting: bytes, forms: LoginForms) -> None:
    assert greeted_forms(greeting) == login_forms(imap_capabilities(greeting)) == forms
