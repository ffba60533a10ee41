"""The demo's mail: one folder in memory, which the IMAP, POP3 and SMTP backends share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime


@dataclass(eq=False, slots=True)
class Message:
    """One message: `content` is all of it with CRLF line ends, `flags` are IMAP's."""

    uid: int
    content: bytes
    received: datetime
    flags: set[str] = field(default_factory=set)


class Mailbox:
    """Messages in the order of their arrival. UIDs start at 1 and are never used twice."""

    __slots__ = ("_next_uid", "_watchers", "messages", "uid_validity")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        # The content is new at every start, so no client may keep what it cached of an earlier one (RFC 9051 2.3.1.1).
        self.uid_validity = int(datetime.now(timezone.utc).timestamp())
        self._next_uid = 1
        self._watchers: list[Callable[[Message], None]] = []

    @property
    def next_uid(self) -> int:
        """The UID that the next message gets."""
        return self._next_uid

    def append(self, content: bytes, flags: tuple[str, ...] = ()) -> Message:
        """Add a message and tell all watchers."""
        message = Message(self._next_uid, content, datetime.now(timezone.utc), set(flags))
        self._next_uid += 1
        self.messages.append(message)
        for watcher in tuple(self._watchers):
            watcher(message)
        return message

    def remove(self, message: Message) -> None:
        """Remove a message; does nothing where another session was first."""
        if message in self.messages:
            self.messages.remove(message)

    def watch(self, watcher: Callable[[Message], None]) -> Callable[[], None]:
        """Call `watcher` with each new message until the returned function is called."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)


def sample_mailbox() -> Mailbox:
    """A mailbox that holds something to read."""
    mailbox = Mailbox()
    for subject, text in _SAMPLES:
        mailbox.append(_compose(subject, text).as_bytes())
    with_attachment = _compose("A message with an attachment", "The attachment is a short text.\n")
    with_attachment.add_attachment("One line.\n", filename="note.txt")
    mailbox.append(with_attachment.as_bytes())
    return mailbox


def _compose(subject: str, text: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = "mailworker <mailworker@example.com>"
    message["To"] = "demo@example.com"
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.now(timezone.utc))
    message["Message-ID"] = f"<{subject.lower().replace(' ', '-')}@example.com>"
    message.set_content(text)
    return message


_SAMPLES = (
    (
        "Welcome to mailworker",
        "You read this through mailworker: it accepted your connection, logged in\n"
        "at the mail server for you and has passed on bytes since.\n",
    ),
    (
        "Send one yourself",
        "Mail sent through the SMTP ports arrives in this mailbox, whoever it is for.\n",
    ),
)
