"""A memory of the greetings of POP3 backends after which AUTH PLAIN may be sent at once.

Unlike an IMAP greeting, a POP3 greeting does not list mechanisms, so a backend is asked for them once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import inf
from typing import Final

from mailworker.wire.backend import TLS_FIRST, Known

LONGEST: Final = 512
"""The most bytes of a greeting that is remembered (RFC 1939 section 3)."""

MOST: Final = 16
"""The most greetings of one backend that are remembered."""

MOST_BACKENDS: Final = 1000
"""The most backends that are remembered; beyond that, the memory is emptied."""

# The timestamp for APOP, which is always another (RFC 1939 section 7). It is replaced by a line end, which no greeting
# can have there.
_TIMESTAMP: Final = re.compile(rb"<[^<>@\s]+@[^<>\s]+>")
_NO_TIMESTAMP: Final = b"\r\n"

_NAMES_TLS: Final = re.compile(rb"\b(?:SSL|TLS)\b", re.IGNORECASE)
_NO_LOGIN: Final = "upstream refuses USER and does not offer AUTH PLAIN"


def takes_plain(listed: Iterable[bytes]) -> bool:
    """Whether a list of capabilities has PLAIN; AUTH then takes an initial response, too (RFC 2449 section 6.3).

    `listed` are the lines of a reply to CAPA.
    """
    return any(words[:1] == [b"SASL"] and b"PLAIN" in words for words in _words(listed))


def user_obstacle(listed: Iterable[bytes], refusal: bytes) -> str | None:
    """Why a backend with this list has refused USER for every name; None if the refusal may be one of this name.

    Courier lists USER although it refuses USER without TLS, but its refusal names TLS.
    """
    named = {words[0] for words in _words(listed) if words}
    if not named or (b"USER" in named and _NAMES_TLS.search(refusal) is None):
        return None
    return TLS_FIRST if b"STLS" in named else _NO_LOGIN


def _words(listed: Iterable[bytes]) -> Iterator[list[bytes]]:
    return (line.upper().split() for line in listed)


class _Heard:
    """The greetings of one backend: those that it has sent, and those after which it lists PLAIN, also as a step.

    `since` is when it last listed PLAIN, by the loop's clock.
    """

    __slots__ = ("once", "since", "step", "taking")

    def __init__(self) -> None:
        self.once = set[bytes]()
        self.since = 0.0
        self.taking = set[bytes]()
        self.step = None, Known(self.taking)


class Greetings:
    """The greetings of backends that are all connected to in the same way: in clear, or over TLS.

    Backends are named as in the log. `expected` are steps for the greetings after which AUTH PLAIN is sent at once; a
    backend is in it after it has repeated a greeting byte for byte, and listed PLAIN after it. `waiting` are the
    backends that get USER and PASS one by one after any greeting, as they do not list PLAIN.
    """

    __slots__ = ("_heard", "expected", "waiting")

    def __init__(self) -> None:
        self.expected = dict[str | None, tuple[None, Known]]()
        self.waiting = set[str | None]()
        self._heard = dict[str | None, _Heard]()

    def hear(self, backend: str | None, greeting: bytes) -> bool | None:
        """Whether a backend with this greeting gets AUTH PLAIN at once; a timestamp in it is ignored.

        None if the backend must be asked for its mechanisms now. Then it is in `waiting` until `learn` is called.
        """
        if backend in self.waiting:
            return False
        heard, text = self._of(backend), _without_timestamp(greeting)
        if text in heard.taking:
            if text == greeting:
                self.expected[backend] = heard.step
            return True
        self.expected.pop(backend, None)
        asks = text in heard.once
        if asks or len(text) > LONGEST or len(heard.once) >= MOST:
            self.waiting.add(backend)
        heard.once.add(text)
        return None if asks else False

    def learn(self, backend: str | None, greeting: bytes, now: float = 0.0) -> None:
        """Remember that the backend lists PLAIN after this greeting; `now` is in seconds."""
        heard = self._of(backend)
        heard.taking.add(_without_timestamp(greeting))
        heard.since = now
        self.waiting.discard(backend)

    def forget(self, backend: str | None, until: float = inf) -> None:
        """Forget a backend that has refused AUTH PLAIN, so that it is asked again; present logins keep their steps.

        It is not forgotten if it has listed PLAIN after `until`.
        """
        heard = self._heard.get(backend)
        if heard is not None and heard.since > until:
            return
        self.expected.pop(backend, None)
        if heard is not None:
            self._heard[backend] = again = _Heard()
            again.once = heard.once

    def _of(self, backend: str | None) -> _Heard:
        heard = self._heard.get(backend)
        if heard is None:
            if len(self._heard) >= MOST_BACKENDS:
                self._heard.clear()
                self.expected.clear()
                self.waiting.clear()
            heard = self._heard[backend] = _Heard()
        return heard


def _without_timestamp(greeting: bytes) -> bytes:
    return _TIMESTAMP.sub(_NO_TIMESTAMP, greeting)
