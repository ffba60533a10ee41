from __future__ import annotations

from collections.abc import Callable

import pytest

from mailworker.wire.backend import ImapReply, Reply
from mailworker.wire.refusal import Reason, Refusal, imap_refusal, pop3_refusal, smtp_refusal

LOGIN, TEMPORARY = Refusal(Reason.LOGIN), Refusal(Reason.TEMPORARY)


def other(text: bytes, code: bytes = b"") -> Refusal:
    return Refusal(Reason.OTHER, text, code)


@pytest.mark.parametrize(
    ("read", "reply", "refusal"),
    [
        (imap_refusal, b"a NO [AUTHENTICATIONFAILED] Authentication failed.", LOGIN),
        (imap_refusal, b"a no [authenticationfailed] failed", LOGIN),
        (imap_refusal, b"a NO Login failed: authentication failure", LOGIN),
        (imap_refusal, b"a NO", LOGIN),
        (imap_refusal, b"a NO (no [UNAVAILABLE] code)", LOGIN),
        (imap_refusal, b"* 1 line\r\na NO [AUTHENTICATIONFAILED] x", LOGIN),
        (imap_refusal, b"a NO [UNAVAILABLE] Internal error", TEMPORARY),
        (imap_refusal, b"a NO [SERVERBUG] Internal error", TEMPORARY),
        (imap_refusal, b"a NO [LIMIT] Too many connections", other(b"[LIMIT] Too many connections")),
        (imap_refusal, b"a NO [EXPIRED] Change it", other(b"[EXPIRED] Change it")),
        (imap_refusal, b"a NO [ALERT] Read this", other(b"[ALERT] Read this")),
        (imap_refusal, b"a BAD Missing argument", TEMPORARY),
        (imap_refusal, b"* BYE Too many connections", TEMPORARY),
        (imap_refusal, b"* NO nobody has asked", TEMPORARY),
        (imap_refusal, b"+ go ahead", TEMPORARY),
        (imap_refusal, b"a NO [REFERRAL imap://u;AUTH=*@h/] x", TEMPORARY),
        (pop3_refusal, b"-ERR [REFERRAL/u@h] x", TEMPORARY),
        (smtp_refusal, b"550 5.2.900 u@h:25", TEMPORARY),
        (smtp_refusal, b"550 5.2.90 u@h:25", other(b"5.2.90 u@h:25", b"550")),
        (pop3_refusal, b"-ERR [AUTH] Authentication failed.", LOGIN),
        (pop3_refusal, b"-ERR", LOGIN),
        (pop3_refusal, b"-ERR wrong password", LOGIN),
        (pop3_refusal, b"-ERR [SYS/TEMP] Later", TEMPORARY),
        (pop3_refusal, b"-ERR [SYS/PERM] Call us", other(b"[SYS/PERM] Call us")),
        (pop3_refusal, b"-ERR [IN-USE] Locked", other(b"[IN-USE] Locked")),
        (pop3_refusal, b"+ go ahead", TEMPORARY),
        (smtp_refusal, b"535 5.7.8 Error: authentication failed", LOGIN),
        (smtp_refusal, b"535-5.7.8 Username and Password\r\n535 5.7.8 not accepted", LOGIN),
        (smtp_refusal, b"454 4.7.0 Temporary authentication failure", TEMPORARY),
        (smtp_refusal, b"421 4.3.2 Shutting down", TEMPORARY),
        (smtp_refusal, b"503 5.5.1 Error: authentication not enabled", TEMPORARY),
        (smtp_refusal, b"530 5.7.0 Must issue a STARTTLS command first", TEMPORARY),
        (smtp_refusal, b"534 5.7.9 Use another mechanism", other(b"5.7.9 Use another mechanism", b"534")),
        (smtp_refusal, b"538 5.7.11 Encryption required", other(b"5.7.11 Encryption required", b"538")),
        (smtp_refusal, b"525 5.7.13 User disabled", other(b"5.7.13 User disabled", b"525")),
    ],
)
def test_a_refusal_is_about_the_login_the_moment_or_something_else(
    read: Callable[[Reply], Refusal], reply: bytes, refusal: Refusal
) -> None:
    assert read((ImapReply if read is imap_refusal else Reply)(reply + b"\r\n")) == refusal
