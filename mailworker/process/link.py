"""The link between the master and a child: the child tells that it serves, the master sends what it has opened.

The status process also sends questions by it, on behalf of clients of the control socket, and gets the answers. A
message with files holds their names, has their descriptors beside it, and says how many files came before and are to
come.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from mailworker.process.system.inherited_state import close_all

_SERVES = b"serves"
USERS = b"users"
PAIRS = b"pairs"
"""Beginnings of messages with what was found in a file of users, or below a folder of certificates."""

_KICK = b"kick"
MOST_KICKED: Final = 64
"""Sessions that one message ends at most, so that a worker ends no more in one round of its loop."""

# A message with a helper's end of the channel to a worker.
_CHANNEL = b"channel"
# A question of the status process, and the answer. Both are numbered; behind the number each has a layout of its own.
_QUESTION = b"question"
_ANSWER = b"answer"
# The level of the error log, 0 for the levels of the configuration.
_LEVEL = b"level"
# Questions that are received in one turn, and bytes of the longest.
MOST_QUESTIONS = 64
LONGEST_QUESTION = 1 << 15
# The system's limit of descriptors in one message (SCM_MAX_FD), and bytes that the names of so many files rarely
# exceed.
_MOST = 253
_LONGEST = 1 << 18


def open_link() -> tuple[socket.socket, socket.socket]:
    """The master's end and a child's; both are non-blocking. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def _send(link: socket.socket, message: bytes, *descriptors: int, if_gone: bool = False) -> bool:
    """Send a message; False where there is no room for it now, `if_gone` where the other end is closed."""
    try:
        if descriptors:
            socket.send_fds(link, [message], descriptors)
        else:
            link.send(message)
    except BlockingIOError:
        return False
    except OSError:
        return if_gone
    return True


def tell_service(link: socket.socket) -> None:
    """Tell the master that this worker accepts connections."""
    _send(link, _SERVES)


class Question(NamedTuple):
    """A question to the master; only `argument` may contain NUL."""

    number: int
    command: bytes
    argument: bytes

    @property
    def message(self) -> bytes:
        """The question as it is sent."""
        return b"%b\0%d\0%b\0%b" % (_QUESTION, self.number, self.command, self.argument)


def ask(link: socket.socket, question: Question) -> bool:
    """Ask the master; False where it cannot be asked now. It is notified by SIGIO: see `call_by_signal`."""
    return _send(link, question.message)


def call_by_signal(link: socket.socket) -> None:
    """Have this process sent SIGIO when a message comes, as a master waits for signals alone. Raises OSError."""
    fcntl.fcntl(link, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(link, fcntl.F_SETFL, fcntl.fcntl(link, fcntl.F_GETFL) | os.O_ASYNC)


def hear(link: socket.socket) -> tuple[list[Question], bool]:
    """The questions of a child, and whether it has told that it serves. Messages beyond a turn's stay queued."""
    questions, serves = [], False
    for _ in range(MOST_QUESTIONS):
        try:
            message = link.recv(LONGEST_QUESTION)
        except OSError:
            break
        if message == _SERVES:
            serves = True
        kind, *parts = message.split(b"\0", 3)
        if kind == _QUESTION and len(parts) == 3 and parts[0].isdigit() and len(parts[0]) < 10:
            questions.append(Question(int(parts[0]), *parts[1:]))
    return questions, serves


def answer(link: socket.socket, number: int, words: bytes) -> bool:
    """Answer a question; False where the child has no room for it, or is gone."""
    return _send(link, b"%b\0%d\0%b" % (_ANSWER, number, words))


def send_level(link: socket.socket, level: int) -> bool:
    """Send the level of the error log, 0 for those of the configuration; False where the child has no room for it."""
    return _send(link, b"%b\0%d" % (_LEVEL, level))


def send_files(link: socket.socket, files: Mapping[Path, int]) -> bool:
    """Send the descriptors of `files`; False where the worker's queue is full, or the worker is gone."""
    for start in range(0, max(len(files), 1), _MOST):
        part = dict(islice(files.items(), start, start + _MOST))
        header = b"%d %d" % (start, len(files) - start - len(part))
        if not _send(link, b"\0".join((header, *map(os.fsencode, part))), *part.values()):
            return False
    return True


class Found(NamedTuple):
    """The content found at a path, in a memory file; `kind` is USERS or PAIRS."""

    kind: bytes
    path: str
    descriptor: int

    @property
    def message(self) -> bytes:
        """The message that goes with the descriptor."""
        return b"%b\0%b" % (self.kind, os.fsencode(self.path))

    @classmethod
    def of(cls, message: bytes, descriptor: int) -> Found:
        """Read such a message."""
        kind, _, path = message.partition(b"\0")
        return cls(kind, os.fsdecode(path), descriptor)


def send_found(link: socket.socket, found: Found) -> bool:
    """Send what was found; False where the worker has no room for it yet."""
    return _send(link, found.message, found.descriptor, if_gone=True)


class Kick(NamedTuple):
    """Sessions for a worker to end, each by its row and id; `why` is for the log."""

    sessions: tuple[tuple[int, str], ...]
    why: str

    @property
    def message(self) -> bytes:
        """The message as it is sent."""
        return b"%b\0%b" % (_KICK, json.dumps([self.sessions, self.why]).encode())

    @classmethod
    def of(cls, message: bytes) -> Kick:
        """Read such a message."""
        sessions, why = json.loads(message.partition(b"\0")[2])
        return cls(tuple((row, name) for row, name in sessions), why)


def send_kick(link: socket.socket, kick: Kick) -> bool:
    """Tell a worker which sessions to end; False where it has no room for the message yet."""
    return _send(link, kick.message, if_gone=True)  # its sessions are gone with it


def send_channel(link: socket.socket, end: socket.socket) -> bool:
    """Send a helper its end of the channel to a worker; False where it has no room for it yet, or is gone."""
    return _send(link, _CHANNEL, end.fileno())


def _refuse_channel(channel: socket.socket) -> None:
    channel.close()


def _refuse(found: Found) -> None:
    os.close(found.descriptor)


def _pass_over(*_: object) -> None:
    """Ignore a message that this process has no use for."""


class Receiver:
    """A child's end of the link, which receives log files and other messages.

    `adopt` gets what was found in files, `adopt_channel` a helper's ends of channels, `answered` a question's number
    and the text of its answer, `levelled` the level of the error log, `kick` the sessions to end.
    """

    __slots__ = ("_adopt", "_adopt_channel", "_answered", "_files", "_kick", "_levelled", "_link")

    def __init__(  # noqa: PLR0913, PLR0917 - one for each kind of message
        self,
        link: socket.socket,
        adopt: Callable[[Found], object] = _refuse,
        adopt_channel: Callable[[socket.socket], None] = _refuse_channel,
        answered: Callable[[int, bytes], None] = _pass_over,
        levelled: Callable[[int], None] = _pass_over,
        kick: Callable[[Kick], None] = _pass_over,
    ) -> None:
        self._adopt = adopt
        self._adopt_channel = adopt_channel
        self._answered = answered
        self._levelled = levelled
        self._files: dict[Path, int] = {}
        self._kick = kick
        self._link = link

    @property
    def waits(self) -> bool:
        """Whether there is a message to be taken."""
        try:
            return bool(self._link.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def take(self) -> dict[Path, int] | None:
        """Files that were sent together, whose descriptors are the caller's now; None until all of them have come."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._link, _LONGEST, _MOST)
        except OSError:
            return None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        header, *names = message.split(b"\0")
        if header in (USERS, PAIRS):
            self._adopt(Found.of(message, *descriptors))
        elif header == _ANSWER:
            self._answered(int(names[0]), b"\0".join(names[1:]))
        elif header == _KICK:
            self._kick(Kick.of(message))
        elif header == _LEVEL:
            self._levelled(int(names[0]))
        elif header == _CHANNEL:
            for descriptor in descriptors:
                channel = socket.socket(fileno=descriptor)
                channel.setblocking(False)
                self._adopt_channel(channel)
        else:
            return self._complete(header, names, descriptors)
        return None

    def _complete(self, header: bytes, names: list[bytes], descriptors: list[int]) -> dict[Path, int] | None:
        before, left = map(int, header.split())
        if not before:
            close_all(self._files.values())  # the master could not send the rest of these
            self._files = {}
        self._files.update(zip((Path(os.fsdecode(name)) for name in names), descriptors, strict=False))
        if left:
            return None
        files, self._files = self._files, {}
        return files
