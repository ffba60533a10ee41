"""The server of the control socket: requests and answers are lines. Connections, times and sizes are limited."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from mailworker import __version__
from mailworker.errors import MailworkerError, PeerError
from mailworker.event import sockets
from mailworker.event.loop import Loop
from mailworker.event.stream import SocketStream
from mailworker.event.task import Task, next_round
from mailworker.model import Address
from mailworker.status.server import Server
from mailworker.wire.control_request import VERSION, BadControlRequest, ControlLines, parse

MOST: Final = 32
"""The most connections; a further one replaces the one that has been idle for the longest time."""

IDLE: Final = 60.0
"""Seconds that a connection may be idle."""

SLOW: Final = 10.0
"""Seconds that a client may take to read an answer."""

GRACE: Final = 1.0
"""Seconds that a client without a request may stay connected when the server is closing."""

# Bytes that are collected before they are sent, and other tasks have their turn.
_PAGE: Final = 16384

# struct ucred (unix(7))
_CREDENTIALS: Final = struct.Struct("@3i")


class Denied(MailworkerError):
    """A request cannot be fulfilled; the text is for the client."""


class Asker(NamedTuple):
    """The client: its user id, None if the system does not tell it. A `readonly` client may not change anything."""

    uid: int | None
    readonly: bool

    def __str__(self) -> str:
        return "uid unknown" if self.uid is None else f"uid {self.uid}"


Answers = AsyncIterator[Mapping[str, Any]]
"""The lines of an answer, as objects. Raises Denied and BadControlRequest."""


RunCommand = Callable[[str, Mapping[str, Any], Asker], Answers]
"""Answers a command, with the other keys of its request."""


class _Connection:
    """A connection. `busy`: a request is unanswered. `active` is the end of the last one. `asked`: there was one."""

    __slots__ = ("active", "asked", "busy", "task")

    task: Task

    def __init__(self, now: float) -> None:
        self.asked = self.busy = False
        self.active = now


class ControlServer(Server[_Connection]):
    """Executes requests. When it closes, clients without an unanswered request are disconnected."""

    __slots__ = ("_run",)

    def __init__(self, loop: Loop, run: RunCommand, on_bug: Callable[[BaseException], None]) -> None:
        super().__init__(loop, on_bug)
        self._run = run

    def close(self, done: Callable[[], None]) -> None:
        """See Server."""
        for connection in [connection for connection in self._connections.values() if not connection.busy]:
            if connection.asked:
                connection.task.cancel()
            else:  # its request may be on its way
                self._loop.set_deadline(connection.task, self._loop.now + GRACE)
        super().close(done)

    def _accept(self, stream: SocketStream, _peer: Address, readonly: bool) -> None:
        if len(self._connections) >= MOST:
            idle = min(
                (connection for connection in self._connections.values() if not connection.busy),
                key=lambda each: each.active,
                default=None,
            )
            if idle is None:
                with suppress(OSError):
                    os.write(stream.descriptor, _line({"error": "too many connections"}))
                stream.close()
                return
            idle.task.cancel()
        asker = Asker(_user_of(stream.descriptor), readonly)
        connection = _Connection(self._loop.now)
        connection.task = Task(self._loop, self._serve(stream, connection, asker))
        self._connections[stream] = connection
        connection.task.resume()

    async def _serve(self, stream: SocketStream, connection: _Connection, asker: Asker) -> None:
        try:
            with suppress(PeerError):
                await self._answer_requests(stream, connection, asker)
        finally:
            stream.close()

    async def _answer_requests(self, stream: SocketStream, connection: _Connection, asker: Asker) -> None:
        lines = ControlLines()
        await _Page(stream, self._loop).send({"mailworker": __version__, "control": VERSION})
        open_ended = True
        while open_ended:
            stream.deadline = self._loop.now + IDLE
            data = await stream.read(lines.room)
            lines.feed(data)
            connection.asked = connection.busy = True
            open_ended = bool(data) and await self._answer_all(stream, lines, asker)
            if not data and (rest := lines.rest()):
                await self._answer(stream, rest, asker)
            connection.busy = False
            connection.active = self._loop.now
            if self._closed is not None:
                return

    async def _answer_all(self, stream: SocketStream, lines: ControlLines, asker: Asker) -> bool:
        """Answer all complete lines; False if one is too long, as then the next one cannot be found."""
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
            async for each in self._run(command, request, asker):
                await page.add(each)
            await page.flush()
        except (BadControlRequest, Denied) as error:
            await page.send({"error": str(error)})
        except PeerError:
            raise
        except Exception as bug:
            self._on_bug(bug)
            what = "not enough memory" if isinstance(bug, MemoryError) else "a bug"
            await page.send({"error": f"{what}, see the error log"})


class _Page:
    """Lines that are sent together."""

    __slots__ = ("_length", "_lines", "_loop", "_stream")

    def __init__(self, stream: SocketStream, loop: Loop) -> None:
        self._length = 0
        self._lines: list[bytes] = []
        self._loop = loop
        self._stream = stream

    async def add(self, line: Mapping[str, Any]) -> None:
        """Add a line. An empty one is not sent, but sends those before it."""
        if line:
            self._lines.append(_line(line))
            self._length += len(self._lines[-1])
        if self._length >= _PAGE or not line:
            await self.flush()
            await next_round()  # other tasks have their turn, even if this client reads fast

    async def send(self, line: Mapping[str, Any]) -> None:
        """Add a line, and send all lines."""
        await self.add(line)
        await self.flush()

    async def flush(self) -> None:
        data, self._lines, self._length = b"".join(self._lines), [], 0
        self._stream.deadline = self._loop.now + SLOW
        await self._stream.write(data)


def _line(words: Mapping[str, Any]) -> bytes:
    return json.dumps(words).encode() + b"\n"


def _user_of(descriptor: int) -> int | None:
    """The user id of the client's process."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS
        return None
    try:
        with sockets.borrowed(descriptor) as client:
            found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    return int(_CREDENTIALS.unpack(found)[1])
