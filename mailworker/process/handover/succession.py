"""The link between two masters after USR2: by it, the new one has the old one end sessions of the old one's workers.

The old master hears questions as it does from a child, but obeys one alone, and answers nothing. Another version may
have another format; what is no question is passed over.
"""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from typing import Final

from mailworker.process.link import Question, ask, call_by_signal, hear, open_link
from mailworker.process.system.announced import announced, inherited

VARIABLE: Final = "MAILWORKER_FORMER"
"""The environment variable by which the new master gets the descriptor of its end."""

KICK: Final = b"kick"


class Successor:
    """The old master's end. SIGIO announces questions, see `call_by_signal`."""

    __slots__ = ("_link", "_theirs")

    def __init__(self) -> None:
        """Raises OSError."""
        self._link, self._theirs = open_link()
        call_by_signal(self._link)

    def announced(self) -> AbstractContextManager[dict[str, str]]:
        """The environment variable that names the other end, which is inheritable and stays open here until the end."""
        return announced(self._theirs, VARIABLE)

    def take_kicks(self) -> list[bytes]:
        """The sessions that the new master wants to end, as the arguments of its questions; at most MOST_QUESTIONS."""
        questions, _ = hear(self._link)
        return [question.argument for question in questions if question.command == KICK]

    def close(self) -> None:
        """Close our end: there is no other master, or this process is no master."""
        self._link.close()


class Predecessor:
    """The new master's end, if there is an old master that has one."""

    __slots__ = ("_link",)

    def __init__(self, link: socket.socket | None = None) -> None:
        self._link = link

    @classmethod
    def of(cls, value: str) -> Predecessor:
        """The end whose descriptor VARIABLE has named; none for any other value."""
        link = inherited(value)
        if link is None:
            return cls()
        if link.family != socket.AF_UNIX or link.type != socket.SOCK_DGRAM:
            link.close()
            return cls()
        link.setblocking(False)
        return cls(link)

    def kick(self, sessions: bytes) -> bool:
        """Have these end, as `Steering` reads them; False where nobody hears it, or has room for it."""
        return self._link is not None and ask(self._link, Question(0, KICK, sessions))

    def close(self) -> None:
        """Close our end, as this process is no master, or asks no more."""
        if self._link is not None:
            self._link.close()
            self._link = None
