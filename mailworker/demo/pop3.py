"""The demo's POP3 backend: twisted.mail's server over a `Mailbox`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.protocol import Factory
from twisted.mail import pop3
from zope.interface import implementer

from mailworker.demo.account import accepts
from mailworker.demo.mailbox import Mailbox, Message


@implementer(pop3.IMailbox)
class _Maildrop:
    """One session's view, fixed at login; deleted messages go at QUIT (RFC 1939 section 6)."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._messages = list(mailbox.messages)
        self._deleted: set[int] = set()

    def listMessages(self, index: int | None = None) -> int | list[int]:
        if index is not None:
            return len(self._at(index).content)
        # A size of 0 is twisted.mail's mark of a deleted message.
        return [0 if i in self._deleted else len(message.content) for i, message in enumerate(self._messages)]

    def getMessage(self, index: int) -> BinaryIO:
        # twisted.mail makes every LF a CRLF.
        return io.BytesIO(self._at(index).content.replace(b"\r\n", b"\n"))

    def getUidl(self, index: int) -> bytes:
        return b"%d.%d" % (self._mailbox.uid_validity, self._at(index).uid)

    def deleteMessage(self, index: int) -> None:
        self._at(index)
        self._deleted.add(index)

    def undeleteMessages(self) -> None:
        self._deleted.clear()

    def sync(self) -> None:
        for index in self._deleted:
            self._mailbox.remove(self._messages[index])

    def _at(self, index: int) -> Message:
        if index in self._deleted:
            raise ValueError("message is deleted")
        return self._messages[index]


class _Pop3Server(pop3.POP3):
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def authenticateUserPASS(self, user: bytes, password: bytes) -> tuple[object, _Maildrop, Callable[[], None]]:
        if not accepts(user, password):
            raise UnauthorizedLogin
        return pop3.IMailbox, _Maildrop(self._mailbox), lambda: None


class Pop3Factory(Factory):
    """Makes one POP3 session per connection over `mailbox`."""

    noisy = False

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def buildProtocol(self, addr: object) -> Any:
        return _Pop3Server(self._mailbox)
