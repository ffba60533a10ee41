"""A server of lines on our own loop: clients send requests in lines and get answers in lines; everything is bounded."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

from mailworker import __version__
from mailworker.errors import MailworkerError, Party, PeerError
from mailworker.event.loop import Loop
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task, next_round
from mailworker.model import Address
from mailworker.status.server import Server
from mailworker.wire.control_request import VERSION, BadControlRequest, ControlLines, parse

MOST: Final = 32
"""Connections at one time; a further one replaces the one that has been idle for the longest time."""

IDLE: Final = 60.0
"""Seconds that a connection may be idle."""

SLOW: Final = 10.0
"""Seconds that a peer may take to read what was sent to it."""

GRACE: Final = 1.0
"""Seconds that a client which has not asked anything yet may stay when the server is closing."""

# Bytes that are collected before they are sent and other tasks have their turn.
_PAGE: Final = 16384

# struct ucred (unix(7))
_CREDENTIALS: Final = struct.Struct("@3i")


class Denied(MailworkerError):
    """A request that cannot be fulfilled; the text is for the client."""


class Asker(NamedTuple):
    """The client: its user id, None where the system does not tell it; a `readonly` one changes nothing."""

    uid: int | None
    readonly: bool

    def __str__(self) -> str:
        return "uid unknown" if self.uid is None else f"uid {self.uid}"


Answers = AsyncIterator[Mapping[str, Any]]
"""The lines of an answer, each an object. It may raise Denied and BadControlRequest instead of any line."""


class Obey(Protocol):
    """Answers a command."""

    def __call__(self, command: str, request: Mapping[str, Any], asker: Asker) -> Answers: ...


class _Visit:
    """A connection: `busy` while a request is unanswered, `heard` when that was last so, `asked` if there was any."""

    __slots__ = ("asked", "busy", "heard", "stream", "task")

    task: Task

    def __init__(self, stream: SocketStream, now: float) -> None:
        self.asked = self.busy = False
        self.heard = now
        self.stream = stream


class ControlServer(Server[_Visit]):
    """Obeys requests; clients that have none under way leave when it closes."""

    __slots__ = ("_obey",)

    def __init__(self, loop: Loop, obey: Obey, on_bug: Callable[[BaseException], None]) -> None:
        super().__init__(loop, on_bug)
        self._obey = obey

    def close(self, done: Callable[[], None]) -> None:
        """See Server."""
        for visit in [visit for visit in self._visits if not visit.busy]:
            if visit.asked:
                visit.task.cancel()
            else:  # its request may be on its way
                self._loop.set_deadline(visit.task, self._loop.now + GRACE)
        super().close(done)

    def _accept(self, readonly: bool, descriptor: int, _peer: Address) -> None:
        if len(self._visits) >= MOST:
            idle = min((visit for visit in self._visits if not visit.busy), key=lambda each: each.heard, default=None)
            if idle is None:
                with suppress(OSError):
                    os.write(descriptor, _line({"error": "too many connections"}))
                os.close(descriptor)
                return
            idle.task.cancel()
        asker = Asker(_user_of(descriptor), readonly)
        visit = _Visit(SocketStream(self._loop, descriptor, Party.CLIENT, lambda: self._leave(visit)), self._loop.now)
        self._visits[visit] = None
        visit.task = Task(self._loop, self._serve(visit, asker))
        visit.task.resume()

    async def _serve(self, visit: _Visit, asker: Asker) -> None:
        try:
            with suppress(PeerError):
                await self._converse(visit, asker)
        finally:
            visit.stream.close()

    async def _converse(self, visit: _Visit, asker: Asker) -> None:
        stream, lines = visit.stream, ControlLines()
        await _Page(stream, self._loop).send({"mailworker": __version__, "control": VERSION})
        open_ended = True
        while open_ended:
            stream.deadline = self._loop.now + IDLE
            data = await stream.read(lines.room)
            lines.feed(data)
            visit.asked = visit.busy = True
            open_ended = bool(data) and await self._answer_all(stream, lines, asker)
            if not data and (rest := lines.rest()):
                await self._answer(stream, rest, asker)
            visit.busy = False
            visit.heard = self._loop.now
            if self._closed is not None:
                return

    async def _answer_all(self, stream: SocketStream, lines: ControlLines, asker: Asker) -> bool:
        """Answer all complete lines; False where one is too long, as the next line cannot be found then."""
        try:
            while (line := lines.next()) is not None:
                if line.strip():
                    await self._answer(stream, line, asker)
        except BadControlRequest as bad:
            await _Page(stream, self._loop).send({"error": str(bad)})
            return False
        return True

    async def _answer(self, stream: SocketStream, line: bytes, asker: Asker) -> None:
        page = _Page(stream, self._loop)
        try:
            command, request = parse(line)
            async for each in self._obey(command, request, asker):
                await page.add(each)
            await page.flush()
        except (BadControlRequest, Denied) as error:
            await page.send({"error": str(error)})
        except PeerError:
            raise
        except Exception as bug:
            self._on_bug(bug)
            await page.send({"error": "a bug, see the error log"})


class _Page:
    """Lines that are sent together."""

    __slots__ = ("_length", "_lines", "_loop", "_stream")

    def __init__(self, stream: SocketStream, loop: Loop) -> None:
        self._length = 0
        self._lines: list[bytes] = []
        self._loop = loop
        self._stream = stream

    async def add(self, line: Mapping[str, Any]) -> None:
        """Add a line; an empty one sends the lines collected so far, and is not sent itself."""
        if line:
            self._lines.append(_line(line))
            self._length += len(self._lines[-1])
        if self._length >= _PAGE or not line:
            await self.flush()
            await next_round()  # other tasks have their turn, however fast this peer reads

    async def send(self, line: Mapping[str, Any]) -> None:
        """Add a line, and send all of them at once."""
        await self.add(line)
        await self.flush()

    async def flush(self) -> None:
        data, self._lines, self._length = b"".join(self._lines), [], 0
        self._stream.deadline = self._loop.now + SLOW
        await self._stream.write(data)


def _line(words: Mapping[str, Any]) -> bytes:
    return json.dumps(words).encode() + b"\n"


def _user_of(descriptor: int) -> int | None:
    """The user id of the process that has connected."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS
        return None
    with socket.socket(fileno=os.dup(descriptor)) as same:
        try:
            found = same.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            return int(_CREDENTIALS.unpack(found)[1])
        except OSError:
            return None
