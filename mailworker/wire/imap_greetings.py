"""The forms of a login that may follow the greeting of an IMAP backend."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailworker.wire.backend import TLS_FIRST, imap_capabilities

_LITERALS: Final = frozenset((b"LITERAL+", b"LITERAL-"))

_NO_PLAIN: Final = "upstream refuses LOGIN and does not offer AUTHENTICATE PLAIN"


class LoginForms(NamedTuple):
    """The forms in which a password may be sent to an IMAP backend.

    `by_login`: by LOGIN, and `at_once` also in literals that need not wait (RFC 7888). Without it the backend gets
    AUTHENTICATE PLAIN, `with_response` in its line (RFC 4959), unless there is an `obstacle`.
    """

    by_login: bool
    at_once: bool = False
    with_response: bool = False
    obstacle: str | None = None


def login_forms(listed: frozenset[bytes] | None) -> LoginForms:
    """The forms for a backend that lists these capabilities, in capitals, or None.

    Dovecot asks for all literals of LOGIN before it refuses LOGIN, so a backend with LOGINDISABLED gets none.
    """
    if listed is None or b"LOGINDISABLED" not in listed:
        return LoginForms(by_login=True, at_once=listed is not None and not listed.isdisjoint(_LITERALS))
    if b"AUTH=PLAIN" in listed:
        return LoginForms(by_login=False, with_response=b"SASL-IR" in listed)
    return LoginForms(by_login=False, obstacle=TLS_FIRST if b"STARTTLS" in listed else _NO_PLAIN)


def greeted_forms(greeting: bytes) -> LoginForms:
    """The forms for a backend with this greeting."""
    return login_forms(imap_capabilities(greeting))
