"""What a row of the table of protocols does with what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailworker.config.settings import MailServer
from mailworker.mail.capabilities import Capabilities
from mailworker.mail.protocols.imap import IMAP
from mailworker.model import Starttls
from tests.support.settings import mail_server


@pytest.mark.parametrize("starttls", Starttls)
def test_starttls_is_offered_in_clear_alone(starttls: Starttls) -> None:
    def layout(_settings: MailServer, shown: Starttls) -> bytes:
        return shown.name.encode()

    row = replace(IMAP, layout=layout, greeting=lambda _settings, capabilities: b"hello " + capabilities)
    told, clear = row.capabilities(mail_server("imap", starttls=starttls)), starttls.name.encode()
    assert told == Capabilities(clear, b"OFF", b"hello " + clear, b"hello OFF")
