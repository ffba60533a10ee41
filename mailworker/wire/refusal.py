"""Why a backend does not want a login, by its reply (RFC 5530, RFC 2449 with RFC 3206, RFC 4954 section 6)."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from mailworker.wire.backend import Reply

_IMAP_NO = re.compile(rb"[^ *+][^ ]* NO(?: (.*))?", re.IGNORECASE)
_POP3_ERR = re.compile(rb"-ERR(?: (.*))?", re.IGNORECASE)
_CODE = re.compile(rb"\[([A-Za-z/-]+)[ \]]")

# Postfix and others without AUTH, or without TLS where that is needed; a command that was no such.
_SMTP_UNABLE = (b"500", b"501", b"502", b"503", b"504", b"530")


class Reason(Enum):
    """What a refusal is about."""

    LOGIN = auto()
    """The name or the password; which of them, clients do not learn."""
    TEMPORARY = auto()
    """Nothing that the client has sent."""
    MISCONFIGURED = auto()
    """As TEMPORARY, until an administrator changes a setting."""
    OTHER = auto()
    """Something that the client is to know."""


class Refusal(NamedTuple):
    """`text` is one line, for a reason that the client is to know; SMTP clients see `code` before it."""

    reason: Reason
    text: bytes = b""
    code: bytes = b""


def imap_refusal(reply: Reply) -> Refusal:
    """A reply to LOGIN or AUTHENTICATE; what is no NO, as BAD and BYE, is not about the login."""
    wrong, temporary = b"AUTHENTICATIONFAILED", (b"UNAVAILABLE", b"SERVERBUG")
    return _by_response_code(reply, _IMAP_NO.fullmatch(reply.last_line), wrong, temporary)


def pop3_refusal(reply: Reply) -> Refusal:
    """A reply to USER, PASS or AUTH."""
    return _by_response_code(reply, _POP3_ERR.fullmatch(reply.last_line), b"AUTH", (b"SYS/TEMP",))


def smtp_refusal(reply: Reply) -> Refusal:
    """A reply to AUTH."""
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
    """A client never hears that it is sent to another server: it could only go there past the proxy."""
    if refused is None or not reply.is_quotable:
        return Refusal(Reason.TEMPORARY)
    text: bytes = refused[1] or b""
    match = _CODE.match(text)
    code = b"" if match is None else match[1].upper()
    if code in (b"", wrong):
        return Refusal(Reason.LOGIN)
    return Refusal(Reason.TEMPORARY) if code in temporary else Refusal(Reason.OTHER, text)
