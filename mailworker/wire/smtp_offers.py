"""The replies of SMTP backends to EHLO, remembered with what they list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mailworker.wire.backend import smtp_mechanisms
from mailworker.wire.remembered import Remembered
from mailworker.wire.xclient import listed_attributes

_ATTRIBUTES: Final = frozenset((b"ADDR", b"LOGIN"))


@dataclass(frozen=True, slots=True)
class Offer:
    """What a reply to EHLO lists.

    `listed` are the attributes of XCLIENT that may be sent, None if the backend does not support XCLIENT; `trusts`
    tells whether address and login are sent. `exposed`: XCLIENT is supported without that, so that clients could use
    it, as the backend checks the address that it is told. `mechanisms` are those of SASL.
    """

    listed: frozenset[bytes] | None
    mechanisms: frozenset[bytes]
    trusts: bool = False
    exposed: bool = False


NO_OFFER: Final = Offer(None, frozenset())


class Offers:
    """The offers of SMTP backends.

    The server `sends` XCLIENT with the attributes in `fields`, all for None, or it does not send it.
    `first` has what is expected of backends in reply to the first EHLO, and `again` in reply to the EHLO after XCLIENT.
    Only texts of replies are kept, and what follows is decided for each login.
    """

    __slots__ = ("_fields", "_sends", "again", "first")

    def __init__(self, fields: frozenset[bytes] | None = None, *, sends: bool = True) -> None:
        self._sends = sends
        self._fields = fields
        self.first = Remembered[Offer]()
        self.again = Remembered[Offer]()

    def hear(self, backend: str | None, reply: bytes, *, again: bool = False) -> Offer:
        """The offer of a backend's reply, which is remembered; the text of the log names the backend."""
        remembered = self.again if again else self.first
        kind = remembered.hear(backend, reply)
        if kind is not None:
            return kind.allows
        offer = self.read(reply)
        remembered.remember(backend, reply, offer)
        return offer

    def read(self, reply: bytes) -> Offer:
        """The offer of a reply, which is not remembered."""
        listed = listed_attributes(reply)
        if listed is not None and self._fields is not None:
            listed &= self._fields
        sent = listed if self._sends and listed is not None else frozenset[bytes]()
        exposed = listed is not None and b"ADDR" not in sent
        return Offer(listed, smtp_mechanisms(reply), trusts=sent >= _ATTRIBUTES, exposed=exposed)
