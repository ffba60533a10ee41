"""The demo's IMAP backend: twisted.mail's server over a `Mailbox`. There is one folder, INBOX."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from email import message_from_bytes, policy
from email.message import Message as ParsedMessage
from email.utils import format_datetime
from typing import Any, BinaryIO, cast

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.mail import imap4
from twisted.mail.interfaces import IMailboxIMAP, IMessageIMAP, IMessageIMAPFile, IMessageIMAPPart
from zope.interface import implementer

from mailworker.demo.account import accepts
from mailworker.demo.mailbox import Mailbox, Message

_FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")


@implementer(IMessageIMAPPart)
class _Part:
    """A message or one part of a multipart, as twisted.mail asks for it."""

    def __init__(self, parsed: ParsedMessage) -> None:
        self._parsed = parsed

    def getHeaders(self, negate: bool, *names: str | bytes) -> dict[str, str]:
        wanted = {name.decode("ascii") if isinstance(name, bytes) else name for name in names}
        lowered = {name.lower() for name in wanted}
        return {
            name.lower(): str(value) for name, value in self._parsed.items() if (name.lower() in lowered) is not negate
        }

    def getBodyFile(self) -> BinaryIO:
        return io.BytesIO(self._content().partition(b"\r\n\r\n")[2])

    def getSize(self) -> int:
        return len(self._content())

    def isMultipart(self) -> bool:
        return self._parsed.is_multipart()

    def getSubPart(self, part: int) -> _Part:
        if not self.isMultipart():
            raise TypeError("not a multipart")
        return _Part(cast("list[ParsedMessage]", self._parsed.get_payload())[part])

    def _content(self) -> bytes:
        return self._parsed.as_bytes(policy=policy.compat32.clone(linesep="\r\n"))


@implementer(IMessageIMAP, IMessageIMAPFile)
class _StoredMessage(_Part):
    """A message of the mailbox; its bytes are served as they arrived."""

    def __init__(self, message: Message) -> None:
        super().__init__(message_from_bytes(message.content))
        self._message = message

    def getUID(self) -> int:
        return self._message.uid

    def getFlags(self) -> list[str]:
        return sorted(self._message.flags)

    def getInternalDate(self) -> str:
        return format_datetime(self._message.received)

    def open(self) -> BinaryIO:
        return io.BytesIO(self._message.content)

    def _content(self) -> bytes:
        return self._message.content


@implementer(IMailboxIMAP)
class _Inbox:
    """One session's view: sequence numbers change only when this session selects or expunges, or when mail comes."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._messages = list(mailbox.messages)
        self._listeners: list[Any] = []
        self.forget = mailbox.watch(self._arrived)

    def refresh(self) -> None:
        """Take the mailbox as it is now, for SELECT."""
        self._messages = list(self._mailbox.messages)

    def _arrived(self, message: Message) -> None:
        self._messages.append(message)
        for listener in self._listeners:
            listener.newMessages(len(self._messages), None)

    def getUIDValidity(self) -> int:
        return self._mailbox.uid_validity

    def getUIDNext(self) -> int:
        return self._mailbox.next_uid

    def getUID(self, message: int) -> int:
        return self._messages[message - 1].uid

    def getMessageCount(self) -> int:
        return len(self._messages)

    def getRecentCount(self) -> int:
        return 0

    def getUnseenCount(self) -> int:
        return sum("\\Seen" not in message.flags for message in self._messages)

    def isWriteable(self) -> bool:
        return True

    def getFlags(self) -> tuple[str, ...]:
        return _FLAGS

    def getHierarchicalDelimiter(self) -> str:
        return "/"

    def requestStatus(self, names: Iterable[str]) -> dict[str, int]:
        status: dict[str, int] = imap4.statusRequestHelper(self, names)
        return status

    def addListener(self, listener: object) -> None:
        self._listeners.append(listener)

    def removeListener(self, listener: object) -> None:
        self._listeners.remove(listener)

    def addMessage(self, message: BinaryIO, flags: Sequence[str] = (), date: object = None) -> Deferred[int]:
        return succeed(self._mailbox.append(message.read(), tuple(flags)).uid)

    def destroy(self) -> None:
        raise imap4.MailboxException("INBOX stays")

    def expunge(self) -> list[int]:
        deleted = [number for number, message in enumerate(self._messages, 1) if "\\Deleted" in message.flags]
        for number in reversed(deleted):
            self._mailbox.remove(self._messages.pop(number - 1))
        # Each EXPUNGE response renumbers the messages after it, so the highest number comes first.
        return deleted[::-1]

    def fetch(self, messages: imap4.MessageSet, uid: bool) -> list[tuple[int, _StoredMessage]]:
        return [(number, _StoredMessage(message)) for number, message in self._select(messages, uid)]

    def store(self, messages: imap4.MessageSet, flags: Iterable[str], mode: int, uid: bool) -> dict[int, list[str]]:
        changed = {}
        for number, message in self._select(messages, uid):
            if mode == 0:
                message.flags = set(flags)
            elif mode > 0:
                message.flags |= set(flags)
            else:
                message.flags -= set(flags)
            changed[number] = sorted(message.flags)
        return changed

    def _select(self, wanted: imap4.MessageSet, uid: bool) -> list[tuple[int, Message]]:
        if not self._messages:
            return []
        # twisted.mail leaves it to the mailbox to say which message "*" is.
        wanted.last = self._messages[-1].uid if uid else len(self._messages)
        numbered = enumerate(self._messages, 1)
        return [(number, message) for number, message in numbered if (message.uid if uid else number) in wanted]


class _Account(imap4.MemoryAccount):
    """The folders of one session."""

    def __init__(self, inbox: _Inbox) -> None:
        super().__init__("demo")
        self._inbox = inbox
        self.addMailbox("INBOX", inbox)

    def select(self, name: str, readwrite: bool = True) -> _Inbox | None:
        self._inbox.refresh()
        selected: _Inbox | None = super().select(name, readwrite)
        return selected

    def _emptyMailbox(self, name: str, id: int) -> None:
        raise imap4.MailboxException("the demo has no folder but INBOX")


class _ImapServer(imap4.IMAP4Server):
    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__()
        self._mailbox = mailbox

    def authenticateLogin(self, user: bytes, password: bytes) -> tuple[object, _Account, Callable[[], None]]:
        if not accepts(user, password):
            raise UnauthorizedLogin
        inbox = _Inbox(self._mailbox)
        return imap4.IAccount, _Account(inbox), inbox.forget


class ImapFactory(Factory):
    """Makes one IMAP session per connection over `mailbox`."""

    noisy = False

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def buildProtocol(self, addr: object) -> _ImapServer:
        return _ImapServer(self._mailbox)
