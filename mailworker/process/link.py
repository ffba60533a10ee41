"""The link between the master and a child: a pair of datagram sockets.

By it a child reports that it serves. The master sends reopened log files, updates of files, and commands. The status
process also sends questions of clients of the control socket, and gets the answers. A message with files contains their
names, their descriptors as ancillary data, and how many files were sent before and will be sent after it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from mailworker.process.system.inherited_state import close_all

_SERVES = b"serves"
USERS = b"users"
PAIRS = b"pairs"
"""The kinds of file updates, and the beginnings of their messages: a user file, and a folder of certificates."""

_KICK = b"kick"
MOST_KICKED: Final = 64
"""The most sessions that one message ends, and so a worker in one round of its loop."""

# A message with a helper's end of the channel to a worker.
_CHANNEL = b"channel"
# A question of the status process, and the answer. A number follows, and then the content.
_QUESTION = b"question"
_ANSWER = b"answer"
# The level of the error log, 0 for the levels of the configuration.
_LEVEL = b"level"
# The most questions that are received in one turn, and the most bytes of one.
MOST_QUESTIONS = 64
LONGEST_QUESTION = 1 << 15
# The errors that mean that the other end is closed; others, such as a lack of memory, may pass.
_CLOSED = (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE)
# The system's limit of descriptors in one message (SCM_MAX_FD), and a length that suffices for the names of so many
# files.
_MOST = 253
_LONGEST = 1 << 18


def open_link() -> tuple[socket.socket, socket.socket]:
    """The master's end and a child's; both are non-blocking. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def _send(link: socket.socket, message: bytes, *descriptors: int, if_gone: bool = False) -> bool:
    """Send a message; False if that is impossible now, as without room, `if_gone` if the other end is closed."""
    try:
        if descriptors:
            socket.send_fds(link, [message], descriptors)
        else:
            link.send(message)
    except OSError as error:
        return if_gone and error.errno in _CLOSED
    return True


def report_serving(link: socket.socket) -> None:
    """Report to the master that this child serves: a worker accepts connections now."""
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
    """Send a question to the master; False if there is no room now. SIGIO notifies it, see `notify_by_signal`."""
    return _send(link, question.message)


def notify_by_signal(link: socket.socket) -> None:
    """Have SIGIO sent to this process when a message arrives: a master waits for signals alone. Raises OSError."""
    fcntl.fcntl(link, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(link, fcntl.F_SETFL, fcntl.fcntl(link, fcntl.F_GETFL) | os.O_ASYNC)


def receive_messages(link: socket.socket) -> tuple[list[Question], bool]:
    """The questions of a child, and whether it has reported that it serves. At most MOST_QUESTIONS are received."""
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
    """Answer a question; False if the child has no room for it, or is gone."""
    return _send(link, b"%b\0%d\0%b" % (_ANSWER, number, words))


def send_level(link: socket.socket, level: int) -> bool:
    """Send the level of the error log, 0 for the configured ones; False if the child has no room for it."""
    return _send(link, b"%b\0%d" % (_LEVEL, level))


def send_files(link: socket.socket, files: Mapping[Path, int]) -> bool:
    """Send the descriptors of `files`; False if the child has no room for them, or is gone."""
    for start in range(0, max(len(files), 1), _MOST):
        part = dict(islice(files.items(), start, start + _MOST))
        header = b"%d %d" % (start, len(files) - start - len(part))
        if not _send(link, b"\0".join((header, *map(os.fsencode, part))), *part.values()):
            return False
    return True


class FileUpdate(NamedTuple):
    """The new content at a path, in a memory file; `kind` is USERS or PAIRS."""

    kind: bytes
    path: str
    descriptor: int

    @property
    def message(self) -> bytes:
        """The message that goes with the descriptor."""
        return b"%b\0%b" % (self.kind, os.fsencode(self.path))

    @classmethod
    def of(cls, message: bytes, descriptor: int) -> FileUpdate:
        """Read such a message."""
        kind, _, path = message.partition(b"\0")
        return cls(kind, os.fsdecode(path), descriptor)


def send_update(link: socket.socket, update: FileUpdate) -> bool:
    """Send an update; False if the child has no room for it yet."""
    return _send(link, update.message, update.descriptor, if_gone=True)


class Kick(NamedTuple):
    """Sessions that a worker must end, each by its row and id; `why` is for the log."""

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
    """Have a worker end sessions; False if it has no room for the message yet."""
    return _send(link, kick.message, if_gone=True)  # its sessions have ended with it


def send_channel(link: socket.socket, end: socket.socket) -> bool:
    """Send a helper its end of the channel to a worker; False if it has no room for it yet, or is gone."""
    return _send(link, _CHANNEL, end.fileno())


class Answer(NamedTuple):
    """The answer to the question of that number."""

    number: int
    words: bytes


class LogLevel(NamedTuple):
    """The level of the error log, 0 for the levels of the configuration."""

    level: int


Message = FileUpdate | Kick | Answer | LogLevel | socket.socket | dict[Path, int]
"""A message of the master. A socket is a helper's end of a channel, a dictionary has the descriptors of log files.

The caller must close what a message contains.
"""


class Receiver:
    """A child's end of the link."""

    __slots__ = ("_files", "_link")

    def __init__(self, link: socket.socket) -> None:
        self._files: dict[Path, int] = {}
        self._link = link

    @property
    def has_message(self) -> bool:
        """Whether there is a message to receive."""
        try:
            return bool(self._link.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def take(self) -> Message | None:
        """Receive a message. Returns None if there is none, or if further ones complete it."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._link, _LONGEST, _MOST)
        except OSError:
            return None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return self._read(message, descriptors)

    def _read(self, message: bytes, descriptors: list[int]) -> Message | None:
        kind, *parts = message.split(b"\0")
        if kind in (USERS, PAIRS):
            return FileUpdate.of(message, *descriptors)
        if kind == _KICK:
            return Kick.of(message)
        if kind == _ANSWER:
            return Answer(int(parts[0]), b"\0".join(parts[1:]))
        if kind == _LEVEL:
            return LogLevel(int(parts[0]))
        if kind == _CHANNEL:
            return next(map(_channel_end, descriptors), None)
        return self._complete(kind, parts, descriptors)

    def _complete(self, header: bytes, names: list[bytes], descriptors: list[int]) -> dict[Path, int] | None:
        before, left = map(int, header.split())
        if not before:
            close_all(self._files.values())  # the master could not send the other files of the set
            self._files = {}
        self._files.update(zip((Path(os.fsdecode(name)) for name in names), descriptors, strict=False))
        if left:
            return None
        files, self._files = self._files, {}
        return files


def _channel_end(descriptor: int) -> socket.socket:
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)
    return end
