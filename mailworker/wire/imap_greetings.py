"""The greetings of IMAP backends, remembered with the forms of LOGIN that may follow at once."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailworker.wire.backend import imap_capabilities
from mailworker.wire.remembered import Remembered

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


class Greetings:
    """The greetings of IMAP backends, with the forms of LOGIN after them."""

    __slots__ = ("_remembered", "expected")

    def __init__(self) -> None:
        self._remembered = Remembered[LoginForms]()
        self.expected = self._remembered.expected

    def hear(self, backend: str | None, greeting: bytes) -> LoginForms:
        """The forms of LOGIN for a backend with this greeting; the text of the log names the backend."""
        kind = self._remembered.hear(backend, greeting)
        if kind is not None:
            return kind.allows
        forms = login_forms(imap_capabilities(greeting))
        self._remembered.remember(backend, greeting, forms)
        return forms
