from __future__ import annotations

import pytest

from mailworker.mail.capabilities import mechanisms
from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import AuthMethod, Starttls
from tests.mail.dialogue.dialogues import converse, server_of
from tests.support.memory_stream import MemoryStream, MemoryTls
from tests.support.settings import dialogue_settings, mail_server

ALL = AuthMethod(255)
NAMES = b"PLAIN LOGIN CRAM-MD5 EXTERNAL XOAUTH2 OAUTHBEARER"
IMAP_NAMES = b" ".join(b"AUTH=" + name for name in NAMES.split())

# nginx's three layouts: off or over TLS, `starttls on`, `starttls only`.
LAYOUTS = {
    "imap": (
        b"* CAPABILITY IMAP4 user %b\r\n" % IMAP_NAMES,
        b"* CAPABILITY IMAP4 user %b STARTTLS\r\n" % IMAP_NAMES,
        b"* CAPABILITY IMAP4 user STARTTLS LOGINDISABLED\r\n",
    ),
    "pop3": (
        b"+OK Capability list follows\r\nIMAP4\r\nuser\r\nSASL %b\r\n.\r\n" % NAMES,
        b"+OK Capability list follows\r\nIMAP4\r\nuser\r\nSASL %b\r\nSTLS\r\n.\r\n" % NAMES,
        b"+OK Capability list follows\r\nIMAP4\r\nSTLS\r\n.\r\n",
    ),
    "smtp": (
        b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250 AUTH %b\r\n" % NAMES,
        b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250-AUTH %b\r\n250 STARTTLS\r\n" % NAMES,
        b"250-mail.example.com\r\n250-IMAP4\r\n250-user\r\n250 STARTTLS\r\n",
    ),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("starttls", Starttls)
def test_layouts(protocol: str, starttls: Starttls) -> None:
    dialogue = dialogue_settings(protocol, auth=ALL, capabilities=(b"IMAP4", b"user"))
    built = PROTOCOLS[protocol].capabilities(mail_server(protocol, dialogue=dialogue, starttls=starttls))
    assert built.clear == LAYOUTS[protocol][list(Starttls).index(starttls)]
    assert built.secure == LAYOUTS[protocol][0]


def test_apop_and_none_are_never_named() -> None:
    assert mechanisms(AuthMethod.APOP | AuthMethod.NONE) == []
    assert mechanisms(ALL) == [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"EXTERNAL", b"XOAUTH2", b"OAUTHBEARER"]


@pytest.mark.parametrize("starttls", Starttls)
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("auth", [AuthMethod.PLAIN, AuthMethod.CRAM_MD5, AuthMethod.EXTERNAL, AuthMethod(0), ALL])
@pytest.mark.parametrize("words", [(b"IMAP4rev1",), (b"IMAP4rev1", b"LoginDisabled", b"IDLE")])
def test_logindisabled_is_listed_where_login_is_refused_and_nowhere_else(
    starttls: Starttls, encrypted: bool, auth: AuthMethod, words: tuple[bytes, ...]
) -> None:
    changes: dict[str, object] = {"auth": auth, "capabilities": words, "starttls": starttls}
    listed, taken = _asked("imap", b"a CAPABILITY\r\n", b"a LOGIN u p\r\n", encrypted, changes)
    assert listed.upper().split().count(b"LOGINDISABLED") == (not taken)
    assert taken is not (starttls is Starttls.ONLY and not encrypted)


@pytest.mark.parametrize("starttls", Starttls)
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("auth", [AuthMethod.PLAIN, AuthMethod.APOP, AuthMethod.EXTERNAL, AuthMethod(0), ALL])
def test_user_is_listed_where_it_is_taken_and_nowhere_else(
    starttls: Starttls, encrypted: bool, auth: AuthMethod
) -> None:
    changes: dict[str, object] = {"auth": auth, "starttls": starttls}
    listed, taken = _asked("pop3", b"CAPA\r\n", b"USER u\r\nPASS p\r\n", encrypted, changes)
    assert (b"USER" in listed.split(b"\r\n")) is taken
    assert taken is not (starttls is Starttls.ONLY and not encrypted)


def _asked(
    protocol: str, question: bytes, login: bytes, encrypted: bool, changes: dict[str, object]
) -> tuple[bytes, bool]:
    """What is listed, and whether a login is taken."""
    server = server_of(protocol, changes)
    tls = MemoryTls() if encrypted else None
    listed, tried = (converse(server, MemoryStream(said, tls=tls)) for said in (question, login))
    return listed.replies, bool(tried.logins)


@pytest.mark.parametrize("starttls", Starttls)
@pytest.mark.parametrize("encrypted", [False, True])
def test_the_greeting_tells_what_capability_would(starttls: Starttls, encrypted: bool) -> None:
    server = server_of("imap", {"starttls": starttls, "greeting_capabilities": True})
    stream = MemoryStream(b"a CAPABILITY\r\n", tls=MemoryTls() if encrypted else None)
    outcome = converse(server, stream)
    listed = outcome.replies.split(b"\r\n")[0].removeprefix(b"* ")
    assert stream.output.startswith(b"* OK [%b] IMAP4 ready\r\n* CAPABILITY " % listed)
