from __future__ import annotations

import pytest

from mailworker.config.settings import AuthMethod, Protocol, Starttls
from mailworker.mail.capabilities import capabilities, mechanisms
from tests.support.settings import dialogue_settings, mail_server

ALL = AuthMethod(63)

# nginx's three layouts: off or over TLS, `starttls on`, `starttls only`.
LAYOUTS = {
    Protocol.IMAP: (
        b"* CAPABILITY IMAP4 user AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5 AUTH=EXTERNAL\r\n",
        b"* CAPABILITY IMAP4 user AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5 AUTH=EXTERNAL STARTTLS\r\n",
        b"* CAPABILITY IMAP4 user STARTTLS LOGINDISABLED\r\n",
    ),
    Protocol.POP3: (
        b"+OK Capability list follows\r\nIMAP4\r\nuser\r\nSASL PLAIN LOGIN CRAM-MD5 EXTERNAL\r\n.\r\n",
        b"+OK Capability list follows\r\nIMAP4\r\nuser\r\nSASL PLAIN LOGIN CRAM-MD5 EXTERNAL\r\nSTLS\r\n.\r\n",
        b"+OK Capability list follows\r\nIMAP4\r\nSTLS\r\n.\r\n",
    ),
    Protocol.SMTP: (
        b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250 AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL\r\n",
        b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250-AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL\r\n250 STARTTLS\r\n",
        b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250 STARTTLS\r\n",
    ),
}


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("starttls", Starttls)
def test_layouts(protocol: Protocol, starttls: Starttls) -> None:
    dialogue = dialogue_settings(protocol, auth=ALL, capabilities=(b"IMAP4", b"user"))
    built = capabilities(mail_server(protocol, dialogue=dialogue, starttls=starttls))
    assert built.clear == LAYOUTS[protocol][list(Starttls).index(starttls)]
    assert built.secure == LAYOUTS[protocol][0]


def test_apop_and_none_are_never_named() -> None:
    assert mechanisms(AuthMethod.APOP | AuthMethod.NONE) == []
    assert mechanisms(ALL) == [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"EXTERNAL"]
