"""The reason of a backend's refusal, by its reply (RFC 5530, RFC 2449 with RFC 3206, RFC 4954 section 6)."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from mailworker.wire.backend import Reply

_IMAP_NO = re.compile(rb"[^ *+][^ ]* NO(?: (.*))?", re.IGNORECASE)
_POP3_ERR = re.compile(rb"-ERR(?: (.*))?", re.IGNORECASE)
_CODE = re.compile(rb"\[([A-Za-z/-]+)[ \]]")

# Replies of Postfix and others without AUTH, or without the TLS that it needs, and to unknown commands.
_SMTP_UNABLE = (b"500", b"501", b"502", b"503", b"504", b"530")


class Reason(Enum):
    """The reason of a refusal."""

    LOGIN = auto()
    """The name or the password is wrong; clients must not learn which."""
    TEMPORARY = auto()
    """A temporary failure that does not depend on the client's data."""
    MISCONFIGURED = auto()
    """As TEMPORARY, but it lasts until an administrator changes a setting."""
    OTHER = auto()
    """Another reason, which the client must be told."""


class Refusal(NamedTuple):
    """A refusal: `text` is one line, for a reason that the client must be told; SMTP clients see `code` before it."""

    reason: Reason
    text: bytes = b""
    code: bytes = b""


def imap_refusal(reply: Reply) -> Refusal:
    """The refusal in a reply to LOGIN or AUTHENTICATE; only NO is about the login, BAD and BYE are not."""
    wrong, temporary = b"AUTHENTICATIONFAILED", (b"UNAVAILABLE", b"SERVERBUG")
    return _by_response_code(reply, _IMAP_NO.fullmatch(reply.last_line), wrong, temporary)


def pop3_refusal(reply: Reply) -> Refusal:
    """The refusal in a reply to USER, PASS or AUTH."""
    return _by_response_code(reply, _POP3_ERR.fullmatch(reply.last_line), b"AUTH", (b"SYS/TEMP",))


def smtp_refusal(reply: Reply) -> Refusal:
    """The refusal in a reply to AUTH."""
    line = reply.last_line
    code, text = line[:3], line[4:]
    if code == b"535":
        return Refusal(Reason.LOGIN)
    if not code.startswith(b"5") or code in _SMTP_UNABLE or not reply.is_quotable:
        return Refusal(Reason.TEMPORARY)
    return Refusal(Reason.OTHER, text, code)


def _by_response_code(
    reply: Reply, refused: re.Match[bytes] | None, wrong: bytes, temporary: tuple[bytes, ...]
) -> Refusal:
    """The refusal by its response code. A referral is not passed on, as a client would follow it past the proxy."""
    if refused is None or not reply.is_quotable:
        return Refusal(Reason.TEMPORARY)
    text: bytes = refused[1] or b""
    match = _CODE.match(text)
    code = b"" if match is None else match[1].upper()
    if code in (b"", wrong):
        return Refusal(Reason.LOGIN)
    return Refusal(Reason.TEMPORARY) if code in temporary else Refusal(Reason.OTHER, text)
