from __future__ import annotations

from mailworker.mail.capabilities import mechanisms
from mailworker.model import AuthMethod


def test_apop_and_none_are_never_named() -> None:
    assert mechanisms(AuthMethod.APOP | AuthMethod.NONE) == []
    names = [b"PLAIN", b"LOGIN", b"CRAM-MD5", b"EXTERNAL", b"XOAUTH2", b"OAUTHBEARER"]
    assert mechanisms(AuthMethod(255)) == names
