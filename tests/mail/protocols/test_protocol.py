"""What a row of the table of protocols does with what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailworker.config.settings import MailServer
from mailworker.event.plan import UNKNOWN
from mailworker.mail.capabilities import Capabilities
from mailworker.mail.protocols.imap import IMAP
from mailworker.mail.protocols.smtp import SMTP
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import Starttls
from tests.support.settings import mail_server


@pytest.mark.parametrize("starttls", Starttls)
def test_starttls_is_offered_in_clear_alone(starttls: Starttls) -> None:
    def layout(_settings: MailServer, shown: Starttls) -> bytes:
        return shown.name.encode()

    row = replace(IMAP, layout=layout, greeting=lambda _settings, capabilities: b"hello " + capabilities)
    told, clear = row.capabilities(mail_server("imap", starttls=starttls)), starttls.name.encode()
    opening = None if starttls is Starttls.ONLY else UNKNOWN
    assert told == Capabilities(clear, b"OFF", b"hello " + clear, b"hello OFF", opening, UNKNOWN)


@pytest.mark.parametrize(("most", "known"), [(3, False), (4, True)])
def test_who_may_say_less_than_an_opening_has_a_dialogue(most: int, known: bool) -> None:
    told = SMTP.capabilities(mail_server("smtp", max_commands=most))
    assert ((told.opening is not None), (told.secure_opening is not None)) == (known, known)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_servers_that_say_the_same_share_it(protocol: str) -> None:
    row, made = PROTOCOLS[protocol], dict[object, Capabilities]()
    first, second = (row.capabilities(mail_server(protocol, timeout=timeout), made) for timeout in (1.0, 2.0))
    for changes in ({"starttls": Starttls.ON}, {"starttls": Starttls.ONLY}, {"max_commands": 1}):
        settings = mail_server(protocol, **changes)
        assert row.capabilities(settings, made) == row.capabilities(settings) != first
    assert first is second
