"""The greetings of SMTP backends and their replies to EHLO, remembered with what they list."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from mailworker.wire.backend import Known, smtp_mechanisms
from mailworker.wire.remembered import MOST, Remembered
from mailworker.wire.xclient import listed_attributes

FRESH: Final = 300.0
"""How many seconds a backend gets XCLIENT without being asked by EHLO what it lists."""

_STARTTLS: Final = re.compile(rb"\n250[- ]STARTTLS[ \r]", re.IGNORECASE)

_ATTRIBUTES: Final = frozenset((b"ADDR", b"LOGIN"))


@dataclass(frozen=True, slots=True)
class Offer:
    """What a reply to EHLO lists.

    `listed` are the attributes of XCLIENT that may be sent, None if the backend does not support XCLIENT; `trusts`
    tells whether address and login are sent. `exposed`: XCLIENT is supported without that, so that clients could use
    it, as the backend checks the address that it is told. `mechanisms` are those of SASL. `tls_first`: there are none,
    but STARTTLS.
    """

    listed: frozenset[bytes] | None
    mechanisms: frozenset[bytes]
    trusts: bool = False
    exposed: bool = False
    tls_first: bool = False


NO_OFFER: Final = Offer(None, frozenset())


class Welcome(NamedTuple):
    """A greeting, as the step that awaits it, and what is `listed` in reply to the EHLO after it.

    `at_once`: XCLIENT is accepted without this EHLO.
    """

    greeting: tuple[None, Known]
    listed: frozenset[bytes]
    at_once: bool = True


class Offers:
    """The offers of SMTP backends.

    The server `sends` XCLIENT with the attributes in `fields`, all for None, or it does not send it.
    `first` has what is expected of backends in reply to the first EHLO, and `again` in reply to the EHLO after XCLIENT.
    `unsettled` are the backends of which a greeting and a reply to EHLO were heard, but not yet both of them twice.
    Only texts of replies are kept, and what follows is decided for each login. `clock` gives the time in seconds.
    """

    __slots__ = ("_clock", "_fields", "_sends", "_until", "_welcomes", "again", "first", "unsettled")

    def __init__(
        self, clock: Callable[[], float], fields: frozenset[bytes] | None = None, *, sends: bool = True
    ) -> None:
        self._sends = sends
        self._fields = fields
        self._clock = clock
        self._until = dict[str | None, float]()
        self._welcomes = Remembered[Welcome]()
        self.first = Remembered[Offer]()
        self.again = Remembered[Offer]()
        self.unsettled = set[str | None]()

    def welcome(self, backend: str | None) -> Welcome | None:
        """What is expected of a backend from its greeting on, None unless XCLIENT may follow the greeting at once."""
        kind = self._welcomes.expected.get(backend)
        if kind is None or self._clock() >= self._until.get(backend, 0.0):
            return None
        return kind.allows if kind.allows.at_once else None

    def ask(self, backend: str | None, offer: Offer) -> None:
        """Note that a backend is being asked by EHLO what it lists, and that this is expected to be `offer`."""
        if len(self._until) >= MOST:
            self._until.clear()
        self._until[backend] = self._clock() + FRESH
        kind = self._welcomes.expected.get(backend)
        if kind is not None and kind.allows.listed != offer.listed:
            self.forget(backend)

    def meet(self, backend: str | None, greeting: bytes, reply: bytes) -> Offer:
        """As `hear` of the reply to the first EHLO, with the greeting before it, which is remembered, too."""
        offer = self.hear(backend, reply)
        if offer.listed is None or not offer.trusts:
            self._welcomes.expected.pop(backend, None)
            self.unsettled.discard(backend)
            return offer
        if self._welcomes.hear(backend, greeting + reply) is not None:
            self.unsettled.discard(backend)
        else:
            welcome = Welcome((None, Known(frozenset((greeting,)))), offer.listed)
            self._welcomes.remember(backend, greeting + reply, welcome)
            self._wait_for(backend)
        self.ask(backend, offer)
        return offer

    def hear_only(self, backend: str | None, reply: bytes) -> Offer:
        """As `hear` of the reply to the first EHLO, where the greeting before it is not known."""
        offer = self.hear(backend, reply)
        kind = self._welcomes.expected.get(backend)
        if kind is None or kind.allows.listed != offer.listed:
            self.forget(backend)
        return offer

    def _wait_for(self, backend: str | None) -> None:
        """Let the next login hear the backend once more, but not for ever: what has the time of day never settles."""
        if backend in self.unsettled:
            self.unsettled.discard(backend)
        elif len(self.unsettled) < MOST:
            self.unsettled.add(backend)

    def forget(self, backend: str | None) -> None:
        """Expect nothing of a backend that has refused XCLIENT; the next login hears it once more."""
        self._welcomes.expected.pop(backend, None)
        self._wait_for(backend)

    def insist(self, backend: str | None) -> None:
        """Note that a backend which has just been heard accepts XCLIENT only after EHLO."""
        kind = self._welcomes.expected.get(backend)
        if kind is not None:
            for words in tuple(kind.texts):
                self._welcomes.remember(backend, words, kind.allows._replace(at_once=False))

    def hear(self, backend: str | None, reply: bytes, *, again: bool = False) -> Offer:
        """The offer of a backend's reply, which is remembered; the text of the log names the backend."""
        return (self.again if again else self.first).allowed(backend, reply, self.read)

    def read(self, reply: bytes) -> Offer:
        """The offer of a reply, which is not remembered."""
        listed = listed_attributes(reply)
        if listed is not None and self._fields is not None:
            listed &= self._fields
        sent = listed if self._sends and listed is not None else frozenset[bytes]()
        exposed = listed is not None and b"ADDR" not in sent
        mechanisms = smtp_mechanisms(reply)
        tls_first = not mechanisms and _STARTTLS.search(reply) is not None
        return Offer(listed, mechanisms, trusts=sent >= _ATTRIBUTES, exposed=exposed, tls_first=tls_first)
