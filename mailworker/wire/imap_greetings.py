"""The greetings of IMAP backends, remembered with whether LOGIN may follow at once."""

from __future__ import annotations

from typing import Final

from mailworker.wire.backend import imap_capabilities
from mailworker.wire.remembered import Remembered

_LITERALS: Final = frozenset((b"LITERAL+", b"LITERAL-"))


def takes_literals(listed: frozenset[bytes] | None) -> bool:
    """Whether LOGIN may be sent at once: literals need not wait for the backend (RFC 7888), and LOGIN is allowed.

    `listed` are the capabilities in capitals, None if the backend lists none.
    """
    return listed is not None and not listed.isdisjoint(_LITERALS) and b"LOGINDISABLED" not in listed


class Greetings:
    """The greetings of IMAP backends, with whether LOGIN is sent at once after them."""

    __slots__ = ("_remembered", "expected")

    def __init__(self) -> None:
        self._remembered = Remembered[bool]()
        self.expected = self._remembered.expected

    def hear(self, backend: str | None, greeting: bytes) -> bool:
        """Whether a backend with this greeting gets LOGIN at once; the text of the log names the backend."""
        kind = self._remembered.hear(backend, greeting)
        if kind is not None:
            return kind.allows
        at_once = takes_literals(imap_capabilities(greeting))
        self._remembered.remember(backend, greeting, at_once)
        return at_once
