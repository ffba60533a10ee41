"""The greetings of IMAP backends, remembered so that the next login at a known backend is a single plan."""

from __future__ import annotations

from typing import Final

from mailworker.wire.backend import Known, imap_capabilities

_LITERALS: Final = frozenset((b"LITERAL+", b"LITERAL-"))
# Greetings are remembered up to this length, and at most so many. Others are read each time.
_LONGEST: Final = 1024
_MOST: Final = 256
_MOST_BACKENDS: Final = 1000


def takes_literals(listed: frozenset[bytes] | None) -> bool:
    """Whether LOGIN may be sent at once: literals need not wait for the backend (RFC 7888), and LOGIN is allowed.

    `listed` are the capabilities in capitals, None if the backend lists none.
    """
    return listed is not None and not listed.isdisjoint(_LITERALS) and b"LOGINDISABLED" not in listed


class Kind:
    """The remembered greetings after which LOGIN is sent `at_once`, or of those after which it is not.

    `greeting` is the step that waits for one of them.
    """

    __slots__ = ("at_once", "greeting", "texts")

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once
        self.texts = set[bytes]()
        self.greeting = None, Known(self.texts)


class Greetings:
    """The greetings of a server's backends.

    `expected` has the kinds that are expected of backends, by their text in the log. A kind is expected once a backend
    has repeated a greeting: what contains the time of day, say, is never foreseen.
    """

    __slots__ = ("_kinds", "_known", "expected")

    def __init__(self) -> None:
        self.expected = dict[str | None, Kind]()
        self._forget()

    def hear(self, backend: str | None, greeting: bytes) -> bool:
        """Whether a backend with this greeting gets LOGIN at once; the text of the log names the backend."""
        kind = self._known.get(greeting)
        if kind is None:
            self.expected.pop(backend, None)
            return self._remember(greeting)
        if len(self.expected) >= _MOST_BACKENDS:
            self.expected.clear()
        self.expected[backend] = kind
        return kind.at_once

    def _remember(self, greeting: bytes) -> bool:
        at_once = takes_literals(imap_capabilities(greeting))
        if len(greeting) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._forget()
            kind = self._kinds[at_once]
            kind.texts.add(greeting)
            self._known[greeting] = kind
        return at_once

    def _forget(self) -> None:
        self._known = dict[bytes, Kind]()
        self._kinds = Kind(at_once=False), Kind(at_once=True)
        self.expected.clear()
