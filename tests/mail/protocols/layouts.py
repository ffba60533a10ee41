"""What a protocol lists with all ways to log in, and two words of its own."""

from __future__ import annotations

from mailworker.mail.protocols.table import PROTOCOLS
from mailworker.model import AuthMethod, Starttls
from tests.mail.dialogue.dialogues import converse, server_of
from tests.support.memory_stream import MemoryStream, MemoryTls

ALL = AuthMethod(255)
NAMES = b"PLAIN LOGIN CRAM-MD5 EXTERNAL XOAUTH2 OAUTHBEARER"
WORDS = (b"IMAP4", b"user")


def listed(protocol: str, starttls: Starttls) -> tuple[bytes, bytes]:
    """What clients are told in clear and over TLS."""
    settings = server_of(protocol, {"auth": ALL, "capabilities": WORDS, "starttls": starttls})
    built = PROTOCOLS[protocol].capabilities(settings)
    return built.clear, built.secure


def asked(
    protocol: str, question: bytes, login: bytes, encrypted: bool, changes: dict[str, object]
) -> tuple[bytes, bool]:
    """What is listed, and whether a login is taken."""
    server = server_of(protocol, changes)
    tls = MemoryTls() if encrypted else None
    told, tried = (converse(server, MemoryStream(said, tls=tls)) for said in (question, login))
    return told.replies, bool(tried.logins)
