"""The part of an unknown command that may be logged: the client's bytes may contain a password."""

from __future__ import annotations

import re

_TAG = rb"[ \t]*(?:[^ \t\r\n]{1,64}[ \t]+)?"  # IMAP has one before its commands
# Commands that are often sent by mistake, or are too long, and contain no secret.
_HARMLESS = (
    rb"PROXY|CAPABILITY|LOGOUT|NOOP|STARTTLS|ID|CAPA|QUIT|STLS|HELO|EHLO|MAIL|RCPT|RSET|HELP|VRFY|EXPN|DATA|BDAT|RETR"
)
# Words that a secret may follow: those of mail commands, and of HTTP requests, whose target may contain one.
_SECRETIVE = rb"LOGIN|AUTHENTICATE|AUTH|USER|PASS|APOP|GET|HEAD|POST|PUT|OPTIONS|CONNECT"

_COMMAND = re.compile(rb"%b(?:%b|%b)(?![A-Za-z0-9])" % (_TAG, _HARMLESS, _SECRETIVE), re.IGNORECASE)
_SECRETIVE_WORD = re.compile(rb"(?<![A-Za-z0-9])(?:%b)(?![A-Za-z0-9])" % _SECRETIVE, re.IGNORECASE)
# The record that a handshake begins with (RFC 8446, 5.1).
_TLS = re.compile(rb"\x16\x03[\x00-\x04]")
# No name contains these, but the responses of PLAIN (NUL) and XOAUTH2 do, with a secret after them.
_SEPARATORS = re.compile(rb"[\0\1]")

INVALID = "invalid command"
"""The description of an unknown line in the log."""

WORDS = frozenset(
    b"APOP APPEND AUTH AUTHENTICATE BDAT CAPA CAPABILITY CHECK CLOSE COMPRESS COPY CREATE DATA DELE DELETE EHLO "
    b"ENABLE ETRN EXAMINE EXPN EXPUNGE FETCH GETQUOTAROOT GETSCRIPT HAVESPACE HELO HELP ID IDLE LANG LANGUAGE LAST "
    b"LHLO LIST LISTSCRIPTS LOGIN LOGOUT LSUB MAIL MOVE NAMESPACE NOOP NOTIFY PASS PUTSCRIPT QUIT RCPT RENAME RETR "
    b"RSET SAML SEARCH SELECT SEND SOML STARTTLS STAT STATUS STLS STORE SUBSCRIBE TOP TURN UID UIDL UNAUTHENTICATE "
    b"UNSELECT UNSUBSCRIBE USER UTF8 VRFY XCLIENT XFORWARD XLIST XTND".split()
)
"""The only words of an invalid line that may be logged: commands of other protocols or states."""

_FIRST_WORDS = re.compile(rb"[ \t]*([^ \t\r\n]{1,100})(?:[ \t]+([^ \t\r\n]{1,20}))?")
_HTTP = re.compile(rb"[A-Z]{3,10} [^ ]+ HTTP/[0-9.]+\r?\n")  # RFC 9112, 3
_PROXY = re.compile(rb"PROXY |\0\r\n\Z")  # version 1, and the third line of the version 2 signature


def described(line: bytes) -> str:
    """Describe a client's invalid line for the log, without any word that the client has chosen."""
    if _TLS.match(line):
        return "TLS handshake in place of a command"
    if _HTTP.fullmatch(line):
        return "HTTP request in place of a command"
    if _PROXY.match(line):
        return "PROXY protocol header in place of a command"
    match = _FIRST_WORDS.match(line)
    words = [word.upper() for word in match.groups() if word] if match else []
    known = next((word for word in words if word in WORDS), None)  # IMAP has a tag before its commands
    return INVALID if known is None else f"{INVALID} {known.decode()}"


def without_secrets(data: bytes) -> bytes:
    """The bytes up to the first word that a secret may follow, or the first line that is no command; then "..."."""
    shown = b""
    for line in data.splitlines(keepends=True):
        kept = _harmless_part(line)
        shown += kept
        if kept != line:
            return shown + b"..."
    return shown


def without_response(name: bytes) -> bytes:
    """A login name without what may be a secret: it may be the response to another mechanism than the named one."""
    match = _SEPARATORS.search(name)
    return name if match is None else name[: match.start()] + b"..."


def _harmless_part(line: bytes) -> bytes:
    if not line.strip(b"\r\n"):
        return line
    handshake = _TLS.match(line)
    if handshake is not None:
        return handshake[0]
    if _COMMAND.match(line) is None:
        return b""
    secretive = _SECRETIVE_WORD.search(line)
    return line if secretive is None else line[: secretive.end()] + b" "
