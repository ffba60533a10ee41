"""The demo's SMTP backend: twisted.mail's server, which puts every message into a `Mailbox`.

It trusts XCLIENT and accepts clients without a login: like any backend of a mail proxy, it must be reachable for the
proxy alone.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from email.utils import formatdate

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.mail import smtp
from zope.interface import implementer

from mailworker.demo.account import accepts
from mailworker.demo.mailbox import Mailbox

# https://www.postfix.org/XCLIENT_README.html
_ATTRIBUTES = (b"NAME", b"ADDR", b"LOGIN")


@implementer(smtp.IMessage)
class _Delivery:
    """One message on its way into the mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:
        self._lines.append(line)

    def eomReceived(self) -> Deferred[None]:
        self._mailbox.append(b"\r\n".join((*self._lines, b"")))
        return succeed(None)

    def connectionLost(self) -> None:
        self._lines.clear()


class _SmtpServer(smtp.ESMTP):
    noisy = False

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__()
        self._mailbox = mailbox
        self._client: dict[bytes, bytes] = {}

    def greeting(self) -> bytes:
        return b"localhost ESMTP"

    def extensions(self) -> dict[bytes, list[bytes] | None]:
        return {b"8BITMIME": None, b"AUTH": [b"PLAIN"], b"XCLIENT": list(_ATTRIBUTES)}

    def ext_AUTH(self, rest: bytes) -> None:
        """Take PLAIN with its initial response alone, which is what the proxy sends (RFC 4954, RFC 4616)."""
        mechanism, _, response = rest.partition(b" ")
        if mechanism.upper() != b"PLAIN" or not response:
            self.sendCode(504, b"5.5.4 Only AUTH PLAIN with an initial response is known here")
            return
        user, password = _credentials(response)
        if accepts(user, password):
            self._client[b"LOGIN"] = user
            self.sendCode(235, b"2.7.0 Authentication successful")
        else:
            self.sendCode(535, b"5.7.8 Authentication credentials invalid")

    def ext_XCLIENT(self, rest: bytes) -> None:
        """Take over the proxy's data about its client, and start the session anew."""
        given = [word.partition(b"=") for word in rest.split()]
        if not given or any(name.upper() not in _ATTRIBUTES or not value for name, _, value in given):
            self.sendCode(501, b"5.5.4 Bad XCLIENT command")
            return
        self._client.update((name.upper(), value) for name, _, value in given)
        self._from = None
        self._to = []
        self.sendCode(220, self.greeting())

    def validateFrom(self, helo: tuple[bytes, bytes], origin: smtp.Address) -> smtp.Address:
        return origin

    def validateTo(self, user: smtp.User) -> Callable[[], _Delivery]:
        return lambda: _Delivery(self._mailbox)

    def receivedHeader(self, helo: tuple[bytes | None, bytes], origin: object, recipients: Sequence[object]) -> bytes:
        """The trace line (RFC 5321 section 4.4); it names the client of XCLIENT."""
        name, peer = helo
        address = self._client.get(b"ADDR", peer)
        login = self._client.get(b"LOGIN")
        comment = b"" if login is None else b" (login %s)" % login
        return b"Received: from %s ([%s])%s\r\n\tby localhost with ESMTP; %s" % (
            name or b"unknown",
            address,
            comment,
            formatdate().encode("ascii"),
        )


def _credentials(response: bytes) -> tuple[bytes, bytes]:
    """Name and password; both are empty where the response is invalid, and match no user."""
    try:
        _, user, password = b64decode(response, validate=True).split(b"\0")
    except ValueError:
        return b"", b""
    return user, password


class SmtpFactory(Factory):
    """Makes one SMTP session per connection; all mail goes into `mailbox`."""

    noisy = False

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def buildProtocol(self, addr: object) -> _SmtpServer:
        return _SmtpServer(self._mailbox)
