"""The forms of LOGIN that may follow the greeting of an IMAP backend at once."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailworker.wire.backend import imap_capabilities

_LITERALS: Final = frozenset((b"LITERAL+", b"LITERAL-"))


class LoginForms(NamedTuple):
    """The forms of LOGIN by which a password may be sent before the backend has answered.

    `in_line` are quoted strings, and `at_once` literals that need not wait (RFC 7888).
    """

    in_line: bool
    at_once: bool


def login_forms(listed: frozenset[bytes] | None) -> LoginForms:
    """The forms for a backend that lists these capabilities, in capitals, or None; no form for LOGINDISABLED."""
    if listed is None:
        return LoginForms(in_line=True, at_once=False)
    allowed = b"LOGINDISABLED" not in listed
    return LoginForms(in_line=allowed, at_once=allowed and not listed.isdisjoint(_LITERALS))


def greeted_forms(greeting: bytes) -> LoginForms:
    """The forms for a backend with this greeting."""
    return login_forms(imap_capabilities(greeting))
