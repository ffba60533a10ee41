"""The replies of SMTP backends to EHLO, remembered so that the next login at a known backend is a single plan."""

from __future__ import annotations

from typing import Final

from mailworker.wire.backend import Known, smtp_mechanisms
from mailworker.wire.xclient import listed_attributes

_ATTRIBUTES: Final = frozenset((b"ADDR", b"LOGIN"))
# Replies are remembered up to this length, and at most so many. Others are read each time.
_LONGEST: Final = 1024
_MOST: Final = 256
_MOST_BACKENDS: Final = 1000


class Offer:
    """What a reply to EHLO lists.

    `listed` are the attributes of XCLIENT that may be sent, None if the backend does not support XCLIENT; `trusts`
    tells whether address and login are sent. `exposed`: XCLIENT is supported without that, so that clients could use
    it, as the backend checks the address that it is told. `mechanisms` are those of SASL. `known` are the remembered
    replies that list the same.
    """

    __slots__ = ("exposed", "known", "listed", "mechanisms", "trusts")

    def __init__(
        self, listed: frozenset[bytes] | None, mechanisms: frozenset[bytes], replies: set[bytes], *, sends: bool = True
    ) -> None:
        sent = listed if sends and listed is not None else frozenset[bytes]()
        self.listed = listed
        self.mechanisms = mechanisms
        self.trusts = sent >= _ATTRIBUTES
        self.exposed = listed is not None and b"ADDR" not in sent
        self.known = Known(replies)


NO_OFFER: Final = Offer(None, frozenset(), set())


class Offers:
    """The offers of a server's backends.

    The server `sends` XCLIENT with the attributes in `fields`, all for None, or it does not send it.
    `first` has the offers that are expected of backends, by their text in the log, in reply to the first EHLO, and
    `again` in reply to the EHLO after XCLIENT. An offer is expected once a backend has repeated a reply: what contains
    the time of day, say, is never foreseen. Only texts of replies are kept, and what follows is decided for each login.
    """

    __slots__ = ("_fields", "_kinds", "_known", "_sends", "again", "first")

    def __init__(self, fields: frozenset[bytes] | None = None, *, sends: bool = True) -> None:
        self._sends = sends
        self._fields = fields
        self._kinds = dict[tuple[object, object], tuple[Offer, set[bytes]]]()
        self._known = dict[bytes, Offer]()
        self.first = dict[str | None, Offer]()
        self.again = dict[str | None, Offer]()

    def hear(self, backend: str | None, reply: bytes, *, again: bool = False) -> Offer:
        """The offer of a backend's reply, which is remembered; the text of the log names the backend."""
        expected, offer = self.again if again else self.first, self._known.get(reply)
        if offer is None:
            expected.pop(backend, None)
            return self._remember(reply) if len(reply) <= _LONGEST else self.read(reply)
        if len(expected) >= _MOST_BACKENDS:
            expected.clear()
        expected[backend] = offer
        return offer

    def read(self, reply: bytes) -> Offer:
        """The offer of a reply, which is not remembered."""
        return Offer(*self._lists(reply), set(), sends=self._sends)

    def _lists(self, reply: bytes) -> tuple[frozenset[bytes] | None, frozenset[bytes]]:
        listed = listed_attributes(reply)
        if listed is not None and self._fields is not None:
            listed &= self._fields
        return listed, smtp_mechanisms(reply)

    def _remember(self, reply: bytes) -> Offer:
        if len(self._known) >= _MOST:
            self._known.clear()
            self._kinds.clear()
        kind = self._lists(reply)
        if kind not in self._kinds:
            replies = set[bytes]()
            self._kinds[kind] = Offer(*kind, replies, sends=self._sends), replies
        offer, replies = self._kinds[kind]
        replies.add(reply)
        self._known[reply] = offer
        return offer
