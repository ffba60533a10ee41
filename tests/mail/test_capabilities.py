from __future__ import annotations

import pytest

from mailworker.config.settings import AuthMethod, Protocol, Starttls
from mailworker.mail.capabilities import capabilities, mechanisms
from tests.support.settings import dialogue_settings, mail_server

ALL = AuthMethod(255)
NAMES = b"PLAIN LOGIN CRAM-MD5 EXTERNAL XOAUTH2 OAUTHBEARER"
IMAP_NAMES = b" ".join(b"AUTH=" + name for name in NAMES.split())

# nginx's three layouts: off or over TLS, `starttls on`, `starttls only`.
LAYOUTS = {
    Protocol.IMAP: (
        b"* CAPABILITY IMAP4 user %b\r\n" % IMAP_NAMES,
        b"* CAPABILITY IMAP4 user %b STARTTLS\r\n" % IMAP_NAMES,
        b"* CAPABILITY IMAP4 user STARTTLS LOGINDISABLED\r\n",
    ),
    Protocol.POP3: (
        b"+OK Capability list follows\r\nIMAP4\r\nuser\r\nSASL %b\r\n.\r\n" % NAMES,
        b"+OK Capability list follows\r\nIMAP4\r\nuser\r\nSASL %b\r\nSTLS\r\n.\r\n" % NAMES,
        b"+OK Capability list follows\r\nIMAP4\r\nSTLS\r\n.\r\n",
    ),
    Protocol.SMTP: (
        b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250 AUTH %b\r\n" % NAMES,
        b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250-AUTH %b\r\n250 STARTTLS\r\n" % NAMES,
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
    assert mechanisms(ALL) == [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"EXTERNAL", b"XOAUTH2", b"OAUTHBEARER"]
