"""What SMTP lists."""

from __future__ import annotations

import pytest

from mailworker.model import Starttls
from tests.mail.protocols.layouts import NAMES, listed

# nginx's three layouts.
LAYOUTS = {
    Starttls.OFF: b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250 AUTH %b\r\n" % NAMES,
    Starttls.ON: b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250-AUTH %b\r\n250 STARTTLS\r\n" % NAMES,
    Starttls.ONLY: b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250 STARTTLS\r\n",
}


@pytest.mark.parametrize("starttls", Starttls)
def test_layouts_in_clear_and_over_tls(starttls: Starttls) -> None:
    assert listed("smtp", starttls) == (LAYOUTS[starttls], LAYOUTS[Starttls.OFF])
