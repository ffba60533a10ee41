"""The link between two masters after USR2, by which the new one can end sessions of the old one's workers.

Its messages are those of a child's link. The old master executes `kick` alone, and sends no answers. It ignores invalid
messages, as the new master may be another version.
"""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from typing import Final

from mailworker.process.link import Question, ask, notify_by_signal, open_link, receive_messages
from mailworker.process.system.inherited_state import announced, inherited

VARIABLE: Final = "MAILWORKER_FORMER"
"""The environment variable with the descriptor of the new master's end."""

KICK: Final = b"kick"


class Successor:
    """The old master's end. SIGIO announces questions, see `notify_by_signal`."""

    __slots__ = ("_link", "_theirs")

    def __init__(self) -> None:
        """Raises OSError."""
        self._link, self._theirs = open_link()
        notify_by_signal(self._link)

    def announced(self) -> AbstractContextManager[dict[str, str]]:
        """The environment variable for the other end, which is inheritable, and open here, within the context."""
        return announced(self._theirs, VARIABLE)

    def take_kicks(self) -> list[bytes]:
        """The sessions that the new master wants to end, as the arguments of its questions; at most MOST_QUESTIONS."""
        questions, _ = receive_messages(self._link)
        return [question.argument for question in questions if question.command == KICK]

    def close(self) -> None:
        """Close our end, without another master, or in a child."""
        self._link.close()


def link_to_predecessor(value: str) -> socket.socket | None:
    """The new master's end, with the descriptor `value`, that of VARIABLE; None for any other value."""
    link = inherited(value)
    if link is not None and (link.family != socket.AF_UNIX or link.type != socket.SOCK_DGRAM):
        link.close()
        return None
    if link is not None:
        link.setblocking(False)
    return link


def kick_former(link: socket.socket, sessions: bytes) -> bool:
    """Have the old master end sessions of its workers, see `Steering`; False if it has no room, or is gone."""
    return ask(link, Question(0, KICK, sessions))
